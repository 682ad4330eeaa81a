// Problems as people read them. They are told apart by code and subject, never by their words.

import type { Code, Problem, Subject } from './bindings';

/** A problem that the window itself has. */
export function problemOf(code: Code, message: string, hint = '', more: Partial<Problem> = {}): Problem {
  return { code, kind: 'failed', severity: 'error', message, hint, ...more };
}

/** Whether two problems are one: whatever their words, and whoever says so. */
export function isSame(one: Problem, other: Problem): boolean {
  const subject = (problem: Problem) => JSON.stringify(problem.subject ?? null);
  return one.code === other.code && subject(one) === subject(other);
}

/** What has a locked keyring ask for its password. */
export const UNLOCK = 'Type your password';

/** A keyring that is locked: the hint names what the button beside it does not do. */
export function ofLocked(problem: Problem): Problem {
  return { ...problem, hint: 'clients and remotes whose keys were not read yet wait for it; logging in unlocks most keyrings, too' };
}

/** What a problem is about, as the start of a line. */
export function about(subject: Subject): string {
  switch (subject.is) {
    case 'agent':
      return 'Agent';
    case 'app':
      return 'The app';
    case 'tor':
      return 'tor';
    case 'configuration':
      return 'Configuration';
    case 'files':
      return 'Files';
    case 'history':
      return 'History';
    case 'store':
      return 'Secret store';
    case 'socks':
      return 'SOCKS address';
    case 'export':
      return `Export ${subject.id}`;
    case 'client':
      return `Client ${subject.id}`;
    case 'service':
      return `Service ${subject.id}`;
    case 'remote':
      return `Remote ${subject.id}`;
    case 'import':
      return `Import ${subject.id}`;
  }
}
