/** The lines of a stream of text, each parsed; what is no JSON is passed over. */
export async function* messagesIn<T>(stream: AsyncIterable<Buffer | string>): AsyncGenerator<T> {
  let rest = '';
  for await (const part of stream) {
    const lines = (rest + part.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      try {
        yield JSON.parse(line) as T;
      } catch {
        // Something else than the other side has written to the stream.
      }
    }
  }
}
