/*
 * XNNPACK packs a model's weights anew at every load, in memory of the process's own. Where it is given a file, it packs
 * once and maps that file afterwards: quicker, and memory that the system shares and gives back. It does not see that the
 * weights in it are another model's, or were half written when the power went: so they are whole on the disk before
 * they get their name, and stand beside a description. The file is never written in place, because other processes may
 * have it mapped.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'

/**
 * Where packed weights are kept between loads, as `file` and `file`.json. `key` stands for all that they depend on: the
 * model, the library and the CPU. What was kept under another key, or has changed since, is made anew.
 */
export type WeightCache = { file: string; key: string }

/**
 * Loads with packed weights from the file, else packs them into it. What goes wrong with files costs the gain alone: the
 * model is then loaded without.
 *
 * @param compile loads the model with the file given, which it may write, or without one.
 */
export function withWeightCache<T>(cache: WeightCache | undefined, compile: (file: string | undefined) => T): T {
  if (cache === undefined) return compile(undefined)
  if (isWhole(cache)) return compile(cache.file)
  const unfinished = `${cache.file}.${process.pid}`
  try {
    const compiled = compile(unfinished)
    keep(cache, unfinished)
    return compiled
  } finally {
    rmSync(unfinished, { force: true })
  }
}

function isWhole({ file, key }: WeightCache): boolean {
  try {
    const kept = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as {
      key?: unknown
      bytes?: unknown
      mtimeMs?: unknown
    }
    const { size, mtimeMs } = statSync(file)
    return kept.key === key && kept.bytes === size && kept.mtimeMs === mtimeMs
  } catch (error) {
    // Nothing is kept, or it cannot be read: either way it is not used.
    if (error instanceof Error) return false
    throw error
  }
}

/** The description goes first and comes last, so that it never stands beside another file than its own. */
function keep({ file, key }: WeightCache, unfinished: string): void {
  try {
    rmSync(`${file}.json`, { force: true })
    flush(unfinished)
    const { size: bytes, mtimeMs } = statSync(unfinished)
    renameSync(unfinished, file)
    writeFileSync(`${unfinished}.json`, JSON.stringify({ key, bytes, mtimeMs }))
    flush(`${unfinished}.json`)
    renameSync(`${unfinished}.json`, `${file}.json`)
  } catch (error) {
    console.error(`LiteRT's packed weights are not kept: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function flush(file: string): void {
  const descriptor = openSync(file, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
