// What the gallery puts on its window, for the tests (src/gallery/main.ts).

interface Window {
  gallery: {
    names: string[];
    ready?: Promise<void>;
    backend?: { calls: { command: string; args: unknown[] }[]; push(view: unknown): void; closing(): void; state(): Promise<unknown> };
  };
}
