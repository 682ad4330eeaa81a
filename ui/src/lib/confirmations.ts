// What is asked before something breaks: pure, from the state that it would break.

import type { Confirmation } from './asks';
import type { AgentView } from './bindings/shell';
import type { ClientStatus, ExportStatus, ImportStatus, RemoteStatus, Status, StoreKind } from './bindings';
import { count, isFor } from './words';

type Asked = Omit<Confirmation, 'run'>;

const list = (names: string[]) => (names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`);

export function removeExport(one: ExportStatus, status: Status): Asked {
  const hit = status.clients.filter((client) => isFor(one, client));
  const breaks = [hit.length === 0 ? `Port ${one.port} is no longer shared.` : `${list(hit.map((client) => client.name))} can no longer open port ${one.port}.`];
  if (hit.some((client) => client.sessions > 0)) breaks.push('Open sessions to it end at once.');
  const left = hit.filter((client) => (client.may_reach ?? []).every((port) => port === one.port) && (client.may_reach ?? []).length > 0);
  if (left.length > 0) breaks.push(`${list(left.map((client) => client.name))} ${left.length === 1 ? 'has' : 'have'} no other port, and no address on the network until there is one.`);
  return { title: `Stop sharing port ${one.port}?`, breaks, keeps: 'Clients keep their keys and their other ports.', verb: 'Stop sharing', danger: true };
}

export function revoke(client: ClientStatus, status: Status): Asked {
  const alone = status.exports.filter((one) => one.clients?.length === 1 && one.clients[0] === client.name).map((one) => `${one.port}`);
  return {
    title: `Revoke ${client.name}?`,
    breaks: [
      client.sessions > 0 ? `It is cut off at once: its ${count(client.sessions, 'open session')} end${client.sessions === 1 ? 's' : ''}.` : 'It is cut off at once.',
      'Its address and keys are erased for good. To come back it needs a new invite.',
      ...(alone.length > 0 ? [`${alone.length === 1 ? 'Port' : 'Ports'} ${list(alone)} ${alone.length === 1 ? 'is' : 'are'} for no client then.`] : []),
    ],
    keeps: 'Other clients are not disturbed.',
    verb: 'Revoke',
    danger: true,
  };
}

export function rotate(client: ClientStatus): Asked {
  return {
    title: `New keys for ${client.name}?`,
    breaks: [
      `The old invite and the old address stop working${client.sessions > 0 ? `, and ${count(client.sessions, 'open session')} end${client.sessions === 1 ? 's' : ''}` : ''}.`,
      `${client.name} is cut off until it is given the new invite, under “Use a new invite”.`,
    ],
    keeps: 'Its ports and its last day stay.',
    verb: 'Make new keys',
    danger: true,
  };
}

export function deleteRemote(remote: RemoteStatus): Asked {
  // A long list is not read.
  const named = remote.imports.length > 6 ? 5 : 6;
  const more = remote.imports.length - named;
  const breaks = remote.imports.slice(0, named).map((one) => `Programs that connect to ${one.listen} will be refused.`);
  if (more > 0) breaks.push(`So will those that connect to ${count(more, 'other import')}.`);
  return {
    title: `Delete ${remote.name}?`,
    breaks: [...breaks, 'This computer’s key for it is erased. To reach it again you need a new invite.'],
    verb: 'Delete remote',
    danger: true,
  };
}

export function deleteImport(remote: RemoteStatus, one: ImportStatus): Asked {
  return {
    title: `Remove the import at ${one.listen}?`,
    breaks: [
      `Programs that connect to ${one.listen} will be refused.`,
      ...(one.sessions > 0 ? [`${count(one.sessions, 'open connection')} end${one.sessions === 1 ? 's' : ''} at once.`] : []),
    ],
    keeps: `${remote.name} stays, and can be imported from again.`,
    verb: 'Remove import',
    danger: true,
  };
}

export function giveUp(name: string): Asked {
  return {
    title: `Give up the request for ${name}?`,
    breaks: ['Its key is erased: an invite that answers it can no longer be used.'],
    verb: 'Give up request',
    danger: true,
  };
}

export function migrate(to: StoreKind): Asked {
  return {
    title: to === 'file' ? 'Move the keys to files?' : 'Move the keys to the system’s keyring?',
    breaks:
      to === 'file'
        ? ['Files that only you can read hold the keys, unencrypted: a backup or a stolen disk has them too.']
        : ['The keys can be read only while the keyring is unlocked: usually not before you have logged in.'],
    keeps: 'Nothing stops working meanwhile; an interruption loses nothing.',
    verb: 'Move keys',
  };
}

/** A store that is gone for good, in which keys were to be erased. */
export function forget(store: StoreKind): Asked {
  return {
    title: store === 'file' ? 'Leave the old keys in the files?' : 'Leave the old keys in the keyring?',
    breaks: ['What was to be erased there is left where it is. If somebody finds it, they have those keys.'],
    keeps: 'The keys that are in use are not touched.',
    verb: 'Leave them',
    danger: true,
  };
}

export function acceptLoss(status: Status): Asked {
  const all = [count(status.exports.length, 'export'), count(status.clients.length, 'client'), count(status.remotes.length, 'remote')];
  return {
    title: 'Accept the configuration as it is?',
    breaks: [`What it no longer names ends: of ${list(all)} nothing is kept that is not in the file.`, 'The keys of what goes are erased for good.'],
    keeps: 'To keep everything, write the last good configuration back instead.',
    verb: 'Accept the loss',
    danger: true,
  };
}

export function quit(view: AgentView): Asked {
  const exports = view.status?.exports.length ?? 0;
  const imports = view.status?.remotes.reduce((sum, remote) => sum + remote.imports.length, 0) ?? 0;
  const what = [exports > 0 ? count(exports, 'export') : '', imports > 0 ? count(imports, 'import') : ''].filter(Boolean).join(' and ');
  if (view.ours === false || view.agent === 'none')
    return {
      title: 'Quit ormesh?',
      breaks: ['The window and the tray icon go.'],
      keeps: view.agent === 'none' ? undefined : 'The agent was not started by this app and goes on.',
      verb: 'Quit',
    };
  return {
    title: 'Quit ormesh?',
    breaks: [
      view.ours === true ? `The agent stops${what ? `, and with it ${what}` : ''}.` : `If this app started the agent, it stops${what ? `, and with it ${what}` : ''}.`,
      'Open connections end.',
    ],
    keeps: 'Everything comes back when ormesh is started again. Closing the window instead leaves it in the tray.',
    verb: 'Quit',
    danger: true,
  };
}
