import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { RuntimeName } from './runtime.ts'

const require = createRequire(import.meta.url)

/** What is not there of a runtime that comes as an optional package; null where nothing is missing. */
export function missingPackage(name: RuntimeName): string | null {
  if (name !== 'tfjs-tflite-node') return null
  let folder: string
  try {
    folder = path.dirname(require.resolve('tfjs-tflite-node/package.json'))
  } catch {
    return 'the optional package tfjs-tflite-node is not installed'
  }
  return existsSync(path.join(folder, 'build/Release/node_tflite_binding.node'))
    ? null
    : 'the addon of the optional package tfjs-tflite-node was not built'
}
