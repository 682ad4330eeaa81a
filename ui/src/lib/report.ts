// What a diagnosis found, as plain text to send to somebody: without addresses, invites or names of people. Pure.

import type { AgentStatus, Layer } from './bindings';
import { layerName, sentence } from './words';

/** A line for each layer, under a line that says which programs they are about. */
export function report(layers: Layer[], agent: AgentStatus | null): string {
  const word = (ok: boolean | null) => (ok === null ? '-    ' : ok ? 'works' : 'FAILS');
  const head = ['ormesh diagnosis', agent && `agent ${agent.version}`, agent?.tor && `tor ${agent.tor.version}`, agent?.network && 'a private Tor network']
    .filter(Boolean)
    .join(', ');
  const lines = layers.map((layer) => {
    const said = [`${layerName(layer).name}:`, sentence(layer.sentence), layer.hint ? sentence(layer.hint) : ''].filter(Boolean).join(' ');
    return `${word(layer.ok)}  ${clean(said)}`;
  });
  return [head, '', ...lines, ''].join('\n');
}

/** Takes out what is nobody else's: onion addresses, invites and requests, bridges, the home directory. */
export function clean(text: string): string {
  return text
    .replace(/\b[a-z2-7]{56}(\.onion)?\b/gi, '<onion address>')
    .replace(/\bormesh(req)?1[a-z0-9]{6,}/gi, '<invite>')
    .replace(/\b[0-9a-f]{40}\b/gi, '<fingerprint>')
    .replace(/\b(?!127\.|0\.0\.0\.0)(\d{1,3}\.){3}\d{1,3}\b/g, '<address>')
    .replace(/\bcert=\S+/g, 'cert=<certificate>')
    .replace(/(\/home\/|\/Users\/|[A-Z]:\\Users\\)[^/\\\s]+/g, '$1<user>');
}
