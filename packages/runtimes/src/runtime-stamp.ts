import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { RuntimeName } from './runtime.ts'

const require = createRequire(import.meta.url)
/** What of each package is compiled code. */
const packages = {
  'tfjs-tflite': { name: '@tensorflow/tfjs-tflite', binary: 'wasm/tflite_web_api_cc_simd.wasm' },
  'tfjs-tflite-node': { name: 'tfjs-tflite-node', binary: 'build/Release/node_tflite_binding.node' }
} as const

/**
 * Tells one build of a runtime from another without starting it, in words: the package's version, and the size and time
 * of its compiled code. null where that is not there, so that only a start can say why.
 */
export function runtimeStamp(name: RuntimeName, liteRtLibrary?: string): string | null {
  try {
    if (name === 'litert') return liteRtLibrary === undefined ? null : fileStamp(liteRtLibrary)
    const manifest = require.resolve(`${packages[name].name}/package.json`)
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    return `${version}, ${fileStamp(path.join(path.dirname(manifest), packages[name].binary))}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

function fileStamp(file: string): string {
  const { size, mtime } = statSync(file)
  return `${size} bytes of ${mtime.toISOString()}`
}
