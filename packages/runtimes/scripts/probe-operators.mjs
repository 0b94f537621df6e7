/*
 * Writes src/operator-tables: the operators of each runtime with the highest version that it takes, as the runtime
 * itself answers. Run it after a build, for each version of a runtime that becomes supported:
 *
 *   node scripts/probe-operators.mjs PATH_OF_LIBLITERT LITERT_VERSION
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { builtinOperators } from '@skerry/tflite'
import { runtimeNames, startRuntime } from '../dist/index.js'
import { hasOperator } from '../dist/operator-probe.js'

const highestVersion = 24

// Not operators of a model: stand-ins that the schema and interpreters use for themselves.
const standIns = new Set(['CUSTOM', 'DELEGATE', 'PLACEHOLDER_FOR_GREATER_OP_CODES'])

// Custom operators that converters and MediaPipe write.
const customOperators = [
  'AddN',
  'AudioSpectrogram',
  'Convolution2DTransposeBias',
  'FlexAdd',
  'FlexErf',
  'FlexRFFT',
  'FlexTensorListReserve',
  'IRFFT2D',
  'Landmarks2TransformMatrix',
  'MaxPoolingWithArgmax2D',
  'MaxUnpooling2D',
  'Mfcc',
  'NumericVerify',
  'RandomStandardNormal',
  'RandomUniform',
  'RoiToTransformMatrix',
  'TFLite_Detection_PostProcess',
  'TransformLandmarks',
  'TransformTensorBilinear'
]

const [liteRtLibrary, liteRtVersion] = process.argv.slice(2)
if (liteRtLibrary === undefined || liteRtVersion === undefined) {
  console.error('usage: probe-operators.mjs PATH_OF_LIBLITERT LITERT_VERSION')
  process.exit(2)
}

const folder = await mkdtemp(path.join(tmpdir(), 'skerry-probe-'))
const table = {}
for (const name of runtimeNames) {
  let runtime = await startRuntime(name, { liteRtLibrary, version: liteRtVersion })
  const builtins = {}
  for (const [builtinCode, operator] of builtinOperators.entries()) {
    if (standIns.has(operator)) continue
    const known = []
    for (let version = 1; version <= highestVersion; version++) {
      if (await hasOperator(runtime, folder, { builtinCode, version })) known.push(version)
    }
    const [first, last] = [known[0], known.at(-1)]
    if (first === undefined) continue
    // The table holds the first and the last version, which says all only where there is no gap between them.
    if (known.length !== last - first + 1) throw new Error(`${operator} has versions ${known}`)
    if (last === highestVersion) throw new Error(`${operator} has no highest version below ${highestVersion}`)
    builtins[operator] = [first, last]
  }
  const custom = []
  for (const customCode of customOperators) {
    try {
      if (await hasOperator(runtime, folder, { customCode, version: 1 })) custom.push(customCode)
    } catch (error) {
      // Some kernels read inputs that this model does not give them: a crash in the kernel shows that there is one.
      if (error.code !== 'runtime-crashed') throw error
      custom.push(customCode)
      runtime = await startRuntime(name, { liteRtLibrary, version: liteRtVersion })
    }
  }
  table[name] = { version: runtime.info.version, builtins, custom }
  await runtime.close()
  console.error(`${name} ${runtime.info.version}: ${Object.keys(builtins).length} builtin, custom ${custom}`)
}
await rm(folder, { recursive: true })

for (const [name, operators] of Object.entries(table)) {
  const constant = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())
  const source = `import type { OperatorTable } from '../operator-versions.ts'

/** Written by scripts/probe-operators.mjs from the runtime's own answers; not by hand. */
export const ${constant}: OperatorTable = ${JSON.stringify(operators, null, 2)}
`
  await writeFile(path.join(import.meta.dirname, `../src/operator-tables/${name}.ts`), source)
}
