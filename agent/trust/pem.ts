const LINE = /.{1,64}/g;

/** The PEM blocks of this kind in a text, each with its lines, in order. */
export function pemBlocks(text: string, label: string): string[] {
  return (
    text.match(new RegExp(`-----BEGIN ${label}-----[A-Za-z0-9+/=\\s]+-----END ${label}-----`, 'g')) ?? []
  );
}

/** The bytes of one PEM block. */
export function pemBytes(block: string): Buffer {
  return Buffer.from(block.replace(/-----[A-Z0-9 ]+-----/g, ''), 'base64');
}

/** One PEM block with a line feed at its end. */
export function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').match(LINE) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
