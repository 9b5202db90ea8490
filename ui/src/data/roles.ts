/** What a user may do, as the hub's own rules say (fileflux/web/access.py); a button that would be refused is not shown. */
import type { Role, User } from '../api/types.js';

const OPERATORS: readonly Role[] = ['admin', 'operator'];

export function mayRun(user: User | null | undefined): boolean {
  return user != null && OPERATORS.includes(user.role);
}
