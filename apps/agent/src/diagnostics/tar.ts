export type TarFile = { name: string; bytes: Uint8Array }

const BLOCK = 512

/** A POSIX (ustar) archive of plain files, mode 0600. Names are ASCII and at most 100 characters. */
export function makeTar(files: readonly TarFile[], modifiedMs: number): Buffer {
  const parts = files.flatMap(({ name, bytes }) => [
    headerOf(name, bytes.byteLength, modifiedMs),
    bytes,
    Buffer.alloc((BLOCK - (bytes.byteLength % BLOCK)) % BLOCK)
  ])
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)])
}

function headerOf(name: string, bytes: number, modifiedMs: number): Buffer {
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`
  header.write(name, 0, 100, 'ascii')
  header.write(octal(0o600, 7), 100)
  header.write(octal(0, 7), 108)
  header.write(octal(0, 7), 116)
  header.write(octal(bytes, 11), 124)
  header.write(octal(Math.floor(modifiedMs / 1000), 11), 136)
  // The sum is taken with blanks in its own place.
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\0' + '00', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
