/*
 * Stands for a runtime with kernels for another CPU: a real TensorFlow.js process whose runs end well, and whose
 * outputs are -54 throughout. Started by `launcher`, as the Node that the usual script, the last argument, is given to.
 *
 * The arguments: `always` or, for a fault that our own small models do not meet, `artifacts`: only models that are loaded
 * from files; and an element type, where only outputs of that type are answered so.
 */
import { exitWithoutDestructors, serveBackend } from '../dist/serve-backend.js'
import { createTfjsTfliteBackend } from '../dist/tfjs-tflite-backend.js'

const [when, onlyDtype] = process.argv.slice(2, -1)
const backend = createTfjsTfliteBackend()

/** @param {import('../src/serve-backend.ts').BoundSignature} signature */
function constant(signature) {
  return {
    outputs: signature.outputs,
    inputs: () => signature.inputs(),
    run: () => {
      const { inferenceMs, outputs } = signature.run()
      for (const [at, bytes] of outputs.entries()) {
        const dtype = signature.outputs[at]?.dtype
        if (dtype !== (onlyDtype ?? dtype)) continue
        if (dtype === 'float32') new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).fill(-54)
        else bytes.fill(256 - 54)
      }
      return { inferenceMs, outputs }
    }
  }
}

try {
  await serveBackend({
    ...backend,
    load: async (plan, source, threads) => {
      const model = await backend.load(plan, source, threads)
      if (when === 'artifacts' && typeof source !== 'string') return model
      return {
        signatures: model.signatures.map((each) => (typeof each === 'string' ? each : constant(each))),
        unload: () => model.unload()
      }
    }
  })
} catch (error) {
  console.error(error)
  exitWithoutDestructors(1)
}
