import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { tfliteFormatErrorCodes } from '../src/index.ts'
import { realModels } from './real-models.ts'

const damagesOfEach = 500
/** An honest read of these files takes under 20 ms and 10 MB. */
const longestReadMs = 5000
const mostMegabytes = 192

/** How often each end was met: a code of TfliteFormatError, or `read`. Anything else is thrown, a hang and a huge allocation too. */
function readDamaged(name: string, bytes: Uint8Array, seed: number): Promise<Record<string, number>> {
  const attempt = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL('fuzz-worker.mjs', import.meta.url), {
    workerData: { bytes, seed, count: damagesOfEach, attempt },
    resourceLimits: { maxOldGenerationSizeMb: mostMegabytes }
  })
  return new Promise((resolve, reject) => {
    let seen = -1
    const watch = setInterval(() => {
      const current = Atomics.load(attempt, 0)
      if (current === seen) reject(new Error(`${name}: damage ${current - 1} of seed ${seed} hangs`))
      seen = current
    }, longestReadMs)
    worker.once('message', resolve)
    worker.once('error', (cause) => reject(new Error(`${name}, seed ${seed}: ${cause.message}`, { cause })))
    worker.once('exit', () => {
      clearInterval(watch)
      reject(new Error(`${name}: the reader ended by itself`))
    })
  }).finally(() => worker.terminate()) as Promise<Record<string, number>>
}

describe('the reader on real models that were damaged', () => {
  it('gives a model or its own error for flipped bits, extreme lengths, and offsets that lead elsewhere', async () => {
    const met = new Set<string>()
    let total = 0
    for (const [index, [name, bytes]] of [...realModels()].entries()) {
      for (const [end, count] of Object.entries(await readDamaged(name, bytes, 100 + index))) {
        met.add(end)
        total += count
      }
    }
    expect(total).toBe(realModels().size * damagesOfEach)
    // The damage must have reached the reader in most ways there are, or this test tests nothing.
    const known = ['read', ...Object.keys(tfliteFormatErrorCodes)]
    expect([...met].filter((end) => !known.includes(end))).toEqual([])
    expect(met.size).toBeGreaterThan(4)
  }, 60_000)
})
