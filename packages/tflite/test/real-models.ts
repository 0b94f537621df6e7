import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

// The packages with real models are the runtimes' test dependencies.
const require = createRequire(new URL('../../runtimes/package.json', import.meta.url))

/** The .tflite files of the MediaPipe packages, by file name. */
export function realModels(): Map<string, Uint8Array> {
  const models = new Map<string, Uint8Array>()
  for (const name of ['@mediapipe/face_detection', '@mediapipe/selfie_segmentation']) {
    const folder = path.dirname(require.resolve(`${name}/package.json`))
    for (const file of readdirSync(folder).filter((each) => each.endsWith('.tflite'))) {
      models.set(file, readFileSync(path.join(folder, file)))
    }
  }
  return models
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
