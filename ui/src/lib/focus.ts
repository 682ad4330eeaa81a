// Where the keyboard is, kept: when what has the focus goes away (a dialog, a row, a step of a form), the focus goes to what is nearest to it
// instead of falling to the page, from where a keyboard user would have to start over.

const FOCUSABLE = 'button, input, select, textarea, summary, a[href], [tabindex="0"]';

/** An element that had the focus, and where it was: its ancestors from itself on, and the place of each among its siblings. */
interface Place {
  chain: { element: Element; index: number }[];
  /** What it opens, by which another button that does is found. */
  opens: string | null;
}

const place = (element: Element): Place => {
  const chain: Place['chain'] = [];
  for (let at: Element | null = element; at && at !== document.body; at = at.parentElement)
    chain.push({ element: at, index: at.parentElement ? [...at.parentElement.children].indexOf(at) : 0 });
  return { chain, opens: element.getAttribute('data-opens') };
};

const canTake = (element: HTMLElement) => !element.matches(':disabled') && element.getClientRects().length > 0;

/** The first in it that can take the focus, itself included. */
function within(element: Element | undefined): HTMLElement | null {
  if (!element) return null;
  if (element instanceof HTMLElement && element.matches(FOCUSABLE) && canTake(element)) return element;
  return [...element.querySelectorAll<HTMLElement>(FOCUSABLE)].find(canTake) ?? null;
}

/** The one to go to in place of what had the focus; null while that is there and only cannot take it now. */
function nearest(last: Place, scope: Element): HTMLElement | null {
  const own = last.chain[0]!;
  if (own.element.isConnected) return own.element instanceof HTMLElement && canTake(own.element) ? own.element : null;
  const alike = last.opens && [...scope.querySelectorAll<HTMLElement>(`[data-opens="${last.opens}"]`)].find(canTake);
  if (alike) return alike;
  for (const [at, { element }] of last.chain.entries()) {
    if (!element.isConnected || !scope.contains(element)) continue;
    // What took its place, what is before it, what else is there.
    const index = last.chain[at - 1]?.index ?? 0;
    const found = within(element.children[index]) ?? within(element.children[index - 1]) ?? within(element);
    if (found) return found;
  }
  return within(scope);
}

/** Keeps it from now on; returns what ends that. */
export function keepFocus(): () => void {
  let inPage: Place | null = null;
  let inDialog: Place | null = null;

  const took = (event: Event) => {
    const element = event.target instanceof Element ? event.target.closest(FOCUSABLE) : null;
    // Nothing has it where somebody clicked beside everything.
    const now = element ? place(element) : null;
    if (event.target instanceof Element && event.target.closest('dialog')) inDialog = now ?? inDialog;
    else inPage = now;
  };
  const look = () => {
    const has = document.activeElement;
    if (has && has !== document.body) return;
    const dialog = [...document.querySelectorAll('dialog[open]')].at(-1);
    if (dialog) {
      const last = inDialog?.chain.some(({ element }) => element === dialog) ? inDialog : null;
      const stays = last?.chain[0]?.element.isConnected;
      const first = dialog.querySelector<HTMLElement>('[data-first]');
      const next = last && stays ? nearest(last, dialog) : first && canTake(first) ? first : last ? nearest(last, dialog) : within(dialog);
      next?.focus();
    } else {
      inDialog = null;
      if (inPage) nearest(inPage, document.body)?.focus();
    }
  };
  const watch = new MutationObserver(look);
  watch.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['disabled', 'open'] });
  document.addEventListener('focusin', took);
  document.addEventListener('click', took);
  return () => {
    watch.disconnect();
    document.removeEventListener('focusin', took);
    document.removeEventListener('click', took);
  };
}
