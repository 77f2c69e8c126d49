import { type FileHandle, open, rename } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** What is kept of a service's output, for the control plane and for people on the host. */
export const OUTPUT_LIMITS = {
  /** A longer line is cut into several. */
  lineCharacters: 4_096,
  /** Lines that a report carries, and the size of all of them. */
  tailLines: 200,
  tailBytes: 32_768,
  /** The file is put aside at this size, in place of the one before: twice as much in all. */
  fileBytes: 1_048_576,
};

// Tabs stay; the rest moves cursors, or is no text at all and no database takes it.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f]/g;

/** Who hears of a service's output. */
export interface OutputListener {
  /** There are new lines. */
  written(): void;
  /** The file could not be written; the lines are known all the same. */
  troubled(error: Error): void;
}

/**
 * Takes in what a service writes, line by line: keeps the last lines, and a log file that is put aside when
 * it is full. A service that writes faster than the disk has to wait. A disk that takes nothing costs the
 * file, never the service.
 */
export class ServiceOutput {
  private readonly lines: string[] = [];
  private bytes = 0;
  private file: { handle: FileHandle; size: number } | null = null;
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly path: string,
    private readonly listener: OutputListener,
    private readonly limits = OUTPUT_LIMITS,
  ) {}

  /** Reads the stream to its end; never rejects. */
  async take(stream: Readable): Promise<void> {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    try {
      for await (const chunk of stream) {
        const parts = `${rest}${decoder.write(chunk as Buffer)}`.split('\n');
        rest = parts.pop() ?? '';
        if (rest.length >= this.limits.lineCharacters) {
          parts.push(rest);
          rest = '';
        }
        await this.add(parts);
      }
    } catch {
      // Torn down with the process: what it had written until then is there.
    }
    await this.add(rest === '' ? [] : [rest]);
  }

  /** The last lines, ending in a line feed; empty when there are none. */
  tail(): string {
    return this.lines.map((line) => `${line}\n`).join('');
  }

  /** Closes the file; another line opens it again. */
  close(): Promise<void> {
    return this.next(async () => {
      const { file } = this;
      this.file = null;
      await file?.handle.close();
    });
  }

  private async add(texts: readonly string[]): Promise<void> {
    if (texts.length === 0) return;
    const time = new Date().toISOString();
    const lines = texts.flatMap((text) => this.cut(text)).map((text) => `${time} ${text}`);
    for (const line of lines) this.remember(line);
    this.listener.written();
    await this.next(() => this.append(`${lines.join('\n')}\n`));
  }

  private cut(text: string): string[] {
    const clean = text.replace(/\r$/, '').replaceAll(CONTROLS, '\ufffd');
    const pieces: string[] = [];
    for (let from = 0; from === 0 || from < clean.length; from += this.limits.lineCharacters) {
      pieces.push(clean.slice(from, from + this.limits.lineCharacters));
    }
    return pieces;
  }

  private remember(line: string): void {
    this.lines.push(line);
    this.bytes += Buffer.byteLength(line) + 1;
    while (this.lines.length > this.limits.tailLines || this.bytes > this.limits.tailBytes) {
      this.bytes -= Buffer.byteLength(this.lines.shift() ?? '') + 1;
    }
  }

  private async append(text: string): Promise<void> {
    this.file ??= await this.open();
    const { handle } = this.file;
    await handle.appendFile(text);
    this.file.size += Buffer.byteLength(text);
    if (this.file.size < this.limits.fileBytes) return;
    this.file = null;
    await handle.close();
    await rename(this.path, `${this.path}.1`);
  }

  private async open(): Promise<{ handle: FileHandle; size: number }> {
    const handle = await open(this.path, 'a', 0o600);
    return { handle, size: (await handle.stat()).size };
  }

  private next(work: () => Promise<void>): Promise<void> {
    this.last = this.last.then(work).catch((error: Error) => this.listener.troubled(error));
    return this.last;
  }
}
