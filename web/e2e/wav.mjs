/** Sounds for stories: a tone of so many seconds, 8 bits at 8 kHz. */
const RATE = 8000;

export function wav(seconds) {
  const samples = Buffer.alloc(RATE * seconds);
  for (let at = 0; at < samples.length; at += 1)
    samples[at] = 128 + Math.round(40 * Math.sin((at * 440 * 2 * Math.PI) / RATE));
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + samples.length, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(RATE, 24);
  header.writeUInt32LE(RATE, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}
