/** One event as it came over the wire. */
export interface SentEvent {
  /** `message` unless the server names another. */
  type: string;
  id: string;
  // Tests look into data of every shape; a wrong look fails the test.
  // biome-ignore lint/suspicious/noExplicitAny: data has every shape
  data: any;
}

/** A follower of an event stream, as a browser's `EventSource` reads it. */
export interface EventSource {
  status: number;
  headers: Headers;
  /** Everything that came until now. */
  readonly events: SentEvent[];
  /** Comments that came until now. */
  readonly comments: string[];
  /** Resolves with all events so far as soon as `condition` holds of them; rejects when the stream ends before. */
  until(condition: (events: readonly SentEvent[]) => boolean): Promise<readonly SentEvent[]>;
  /** Resolves when the server has ended the stream. */
  ended: Promise<void>;
  close(): void;
}

/** Opens an event stream; resolves once the server has answered. @throws when it answers no stream */
export async function openEventSource(url: string, headers: Record<string, string>): Promise<EventSource> {
  const hangUp = new AbortController();
  const response = await fetch(url, { headers, signal: hangUp.signal });
  if (response.status !== 200 || response.body === null)
    throw new Error(`${response.status}: ${await response.text()}`);
  const [events, comments]: [SentEvent[], string[]] = [[], []];
  const waiting = new Set<() => void>();
  const look = () => {
    for (const check of waiting) check();
  };
  let isOver = false;
  const reading = async (body: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of body) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) takeBlock(block, events, comments);
      look();
    }
  };
  const ended = reading(response.body)
    .catch(() => undefined)
    .finally(() => {
      isOver = true;
      look();
    });
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments,
    ended,
    until: (condition) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (condition(events)) resolve(events);
          else if (isOver) reject(new Error(`the stream ended after ${JSON.stringify(events)}`));
          else return;
          waiting.delete(check);
        };
        waiting.add(check);
        check();
      }),
    close: () => hangUp.abort(),
  };
}

function takeBlock(block: string, events: SentEvent[], comments: string[]): void {
  const event: SentEvent = { type: 'message', id: '', data: undefined };
  for (const line of block.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === '') comments.push(value);
    if (field === 'event') event.type = value;
    if (field === 'id') event.id = value;
    if (field === 'data') event.data = JSON.parse(value);
  }
  if (event.data !== undefined) events.push(event);
}
