/** What the navigation leads to, and who sees it. */
import type { User } from '../../api/types.js';
import { mayAudit, mayManage } from '../../data/roles.js';
import type { ListPage } from '../../data/router.js';
import { texts } from '../../texts.js';
import type { IconName } from '../icon/icon.js';

export interface Item {
  page: ListPage;
  icon: IconName;
  text: string;
  /** Who sees it; everybody without. */
  may?: (user: User | null | undefined) => boolean;
  /** Not in the bar of a narrow screen, where there is room for five. */
  rare?: boolean;
}

const ITEMS: readonly Item[] = [
  { page: 'dashboard', icon: 'home', text: texts.shell.dashboard },
  { page: 'map', icon: 'map', text: texts.shell.map, rare: true },
  { page: 'jobs', icon: 'jobs', text: texts.shell.jobs },
  { page: 'runs', icon: 'runs', text: texts.shell.runs },
  { page: 'transfers', icon: 'file', text: texts.shell.transfers, rare: true },
  { page: 'agents', icon: 'agents', text: texts.shell.agents },
  { page: 'schedules', icon: 'clock', text: texts.shell.schedules },
  { page: 'audit', icon: 'audit', text: texts.shell.audit, may: mayAudit, rare: true },
  { page: 'notifications', icon: 'bell', text: texts.shell.notifications, may: mayManage, rare: true },
  { page: 'users', icon: 'users', text: texts.shell.users, may: mayManage, rare: true },
  { page: 'settings', icon: 'settings', text: texts.shell.settings, may: mayManage, rare: true },
];

export function itemsFor(user: User | null | undefined): readonly Item[] {
  return ITEMS.filter(item => item.may?.(user) ?? true);
}
