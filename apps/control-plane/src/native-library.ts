import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { RuntimeLibrary } from '@skerry/contracts'

/** e_machine of an ELF header, by Node's name for the architecture. */
const ARCHITECTURES: Record<number, string> = { 62: 'x64', 183: 'arm64' }
const MACHINE_OFFSET = 18

/**
 * What a shared library of LiteRT is, read from the file itself: the wheel's name says less than its symbols need.
 *
 * @throws a plain Error for a file that no device could use.
 */
export async function describeLibrary(
  path: string,
  version: string
): Promise<{ library: RuntimeLibrary; bytes: Uint8Array }> {
  const bytes = await readFile(path)
  if (bytes.byteLength < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF')
    throw new Error(`${path} is no ELF library`)
  const machine = bytes.readUInt16LE(MACHINE_OFFSET)
  const arch = ARCHITECTURES[machine]
  if (arch === undefined) throw new Error(`${path} is for a machine of ELF number ${machine}, which is not known`)
  const library: RuntimeLibrary = {
    kind: 'runtime-library',
    runtime: 'litert',
    version,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    bytes: bytes.byteLength,
    arch,
    libc: { name: 'glibc', version: leastGlibc(bytes) }
  }
  return { library, bytes }
}

/** Symbols of glibc carry the version that brought them: the newest of them is the least that the library starts with. */
function leastGlibc(bytes: Buffer): string {
  let least = [2, 0]
  for (const [, major = 0, minor = 0] of bytes.toString('latin1').matchAll(/\0GLIBC_(\d+)\.(\d+)/g)) {
    const found = [Number(major), Number(minor)]
    if (found[0] !== least[0] ? Number(found[0]) > Number(least[0]) : Number(found[1]) > Number(least[1])) least = found
  }
  return least.join('.')
}
