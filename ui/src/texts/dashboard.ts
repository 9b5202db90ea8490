import { plural } from './plural.js';

export const dashboard = {
  title: 'Dashboard',
  now: 'Now',
  agents: 'Agents online',
  agentsOf: (online: number, all: number) => `${online} of ${all}`,
  agentsAway: (offline: number, pending: number) =>
    [offline ? `${offline} offline` : '', pending ? `${pending} pending` : ''].filter(Boolean).join(', ') ||
    'all of them',
  active: 'Active runs',
  queued: (count: number) =>
    count ? `${plural(count, 'run waits', 'runs wait')} in a queue` : 'none is queued',
  rate: 'Moving now',
  rateWhy: 'all runs together',
  day: 'Last 24 hours',
  succeeded: 'Succeeded',
  failed: 'Failed or partial',
  failedOf: (failed: number, partial: number) => `${failed} failed, ${partial} partial`,
  moved: 'Data moved',
  saved: (share: string, reused: string) => `${share} saved, ${reused} reused`,
  throughput: 'Throughput',
  throughputWhy: 'What this page has seen since it was opened, all runs together.',
  running: 'Running now',
  runningNone: 'Nothing moves at the moment',
  failing: 'Failing jobs',
  failingNone: 'No job failed in the last 24 hours',
  failingCount: (count: number) => `${plural(count, 'run', 'runs')} in 24 hours`,
  alerts: 'Needs attention',
  alertsNone: 'Nothing needs attention',
  dismiss: 'Dismiss',
  times: (count: number) => (count > 1 ? `${count} times, last` : ''),
  next: 'Next by schedule',
  nextNone: 'No job has a schedule',
  welcome: 'Three steps to the first file',
  welcomeAgent: 'Create an agent for each machine',
  welcomeAgentWhy:
    'An agent is the program beside your files. It connects out to this hub; no port is opened.',
  welcomeInstall: 'Run the command that is shown then on that machine',
  welcomeInstallWhy: 'It appears here as online by itself.',
  welcomeJob: 'Make a job between two of them, and press Run',
  welcomeJobWhy: 'Every file is hashed on both sides, and this page shows each of them arrive.',
  createAgent: 'Create an agent',
};
