import { readFileSync } from 'node:fs'
import koffi from 'koffi'

const dontNeed = 4

/**
 * Makes the pages of a mapped file no longer count as this process's memory; they are read again when they are needed.
 * Once a model is compiled most of them never are: XNNPACK keeps its weights packed in an order of its own.
 */
export function releasePages(path: string): void {
  if (process.platform !== 'linux') return
  const madvise = koffi.load(null).func('int madvise(uintptr_t address, size_t length, int advice)')
  for (const { address, bytes } of mappingsOf(path, readFileSync('/proc/self/maps', 'utf8'))) {
    // Advice that is not taken costs memory and nothing else.
    madvise(address, bytes, dontNeed)
  }
}

/** The parts of memory that are mapped from a file and never written to, by the text of /proc/PID/maps (see proc(5)). */
export function mappingsOf(path: string, maps: string): { address: bigint; bytes: number }[] {
  return maps.split('\n').flatMap((line) => {
    const [, from, to, permissions, file] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(.*)$/.exec(line) ?? []
    if (from === undefined || to === undefined || file !== path || permissions?.includes('w') !== false) return []
    const address = BigInt(`0x${from}`)
    return [{ address, bytes: Number(BigInt(`0x${to}`) - address) }]
  })
}
