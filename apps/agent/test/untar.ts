import { execFileSync } from 'node:child_process'

/** The files of a .tar.gz by name, read by the system's own tar. */
export function untar(bytes: Uint8Array): Map<string, string> {
  const tar = (...args: string[]) => execFileSync('tar', args, { input: bytes, encoding: 'utf8', maxBuffer: 2 ** 26 })
  const names = tar('-tzf', '-').trim().split('\n')
  return new Map(names.map((name) => [name, tar('-xzOf', '-', name)]))
}
