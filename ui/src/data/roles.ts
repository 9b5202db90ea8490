/** What a user may do, as the hub's own rules say (fileflux/web/access.py); a button that would be refused is not shown. */
import type { Role, User } from '../api/types.js';

const OPERATORS: readonly Role[] = ['admin', 'operator'];
const AUDITORS: readonly Role[] = ['admin', 'auditor'];

/** Jobs, runs, browsing and testing agents. */
export function mayRun(user: User | null | undefined): boolean {
  return user != null && OPERATORS.includes(user.role);
}

/** Agents and their tokens, users, settings, notifications. */
export function mayManage(user: User | null | undefined): boolean {
  return user?.role === 'admin';
}

export function mayAudit(user: User | null | undefined): boolean {
  return user != null && AUDITORS.includes(user.role);
}
