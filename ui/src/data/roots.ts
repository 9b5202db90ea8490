/** The folders that an agent offers, as it told them when it connected. */
export interface Root {
  path: string;
  read: boolean;
  write: boolean;
  /** Bytes of its disk; 0 where the agent could not say. */
  total: number;
  free: number;
}

export function rootsOf(info: unknown): Root[] {
  const roots = isRecord(info) ? info.roots : undefined;
  if (!Array.isArray(roots)) return [];
  return roots.filter(isRecord).flatMap(root => {
    const { path } = root;
    if (typeof path !== 'string') return [];
    return [
      {
        path,
        read: root.read === true,
        write: root.write === true,
        total: count(root.total),
        free: count(root.free),
      },
    ];
  });
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
