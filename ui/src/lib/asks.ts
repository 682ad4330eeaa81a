// What the window can be asked to open over its page, and what was typed there so far.

import type { Invite } from './bindings/shell';
import type { ClientStatus, ExportStatus, ImportStatus } from './bindings';

export type Ask =
  /** `target`: what is to be shared, where it was chosen already. */
  | { kind: 'export'; target?: string }
  /** Who an export is for. */
  | { kind: 'whom'; one: ExportStatus }
  /** Where an export leads, and under which port. */
  | { kind: 'export-change'; one: ExportStatus }
  | { kind: 'client' }
  | { kind: 'access'; client: ClientStatus }
  | { kind: 'invite'; name: string; invite: Invite; secret: boolean }
  /** `replace`: an invite for a remote that is there · `answer`: the invite that answers a request made here · `how`: what it starts with. */
  | { kind: 'remote'; replace?: string; answer?: string; how?: 'invite' }
  | { kind: 'import'; remote: string }
  /** Where an import listens, and for whom. */
  | { kind: 'import-change'; remote: string; one: ImportStatus }
  /** Another name. */
  | { kind: 'rename'; what: 'client' | 'remote' | 'request'; name: string }
  | { kind: 'confirm'; confirm: Confirmation }
  /** The window is to be closed, and nothing would be left to see. */
  | { kind: 'closing' };

/** A question before something that can't be undone by a click. */
export interface Confirmation {
  title: string;
  /** What will break, one sentence each. */
  breaks: string[];
  /** What goes on as it is. */
  keeps?: string;
  /** The button: a verb and its object. */
  verb: string;
  /** Whether it takes something away. */
  danger?: boolean;
  run: () => Promise<void>;
}

/** What was typed into dialogs that were closed before they were done. */
export interface Drafts {
  export: { where: 'here' | 'lan' | 'unix'; port: string; host: string; path: string; as: string; clients: string[] | null; name: string; request: string | null };
  client: { how: 'request' | 'invite'; name: string; request: string; ports: number[] | null; lasts: Lasts; expires: string };
  remote: { how: 'request' | 'invite'; name: string; request: string; invite: string };
  import: { port: string; listen: string; onlyMe: boolean };
}

export type Lasts = 'never' | '1d' | '7d' | '30d' | '90d' | 'other';

export const blank = {
  export: (): Drafts['export'] => ({ where: 'here', port: '', host: '', path: '', as: '', clients: null, name: '', request: null }),
  client: (): Drafts['client'] => ({ how: 'request', name: '', request: '', ports: null, lasts: 'never', expires: '' }),
  remote: (): Drafts['remote'] => ({ how: 'request', name: '', request: '', invite: '' }),
  import: (): Drafts['import'] => ({ port: '', listen: '', onlyMe: false }),
};

export const drafts = (): Drafts => ({
  export: blank.export(),
  client: blank.client(),
  remote: blank.remote(),
  import: blank.import(),
});
