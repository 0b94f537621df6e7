import type { ConversionResult, Parity, Recipe, VariantResult, VariantState } from '../src/index.ts'

export const recipeOf = (name: string, variant: Recipe['variant'], more: Partial<Recipe> = {}): Recipe => ({
  name,
  variant,
  engine: 'tflite-converter',
  inputType: variant === 'full_int8' ? 'int8' : 'float32',
  perChannel: true,
  batch: 'fixed',
  ...more
})

export function parityOf(snrDb: number | null, more: Partial<Parity> = {}): Parity {
  const output = { name: 'face', snrDb, maxAbsError: 0.1, meanAbsError: 0.01, agreement: 0.97 }
  return {
    reference: 'keras 3.15.1',
    data: 'uploaded',
    samples: 80,
    outputs: [{ ...output, tolerance: { minSnrDb: 10, minAgreement: 0.95 }, passed: (snrDb ?? 0) >= 10 }],
    passed: (snrDb ?? 0) >= 10,
    ...more
  }
}

const reasons: Readonly<Record<VariantState, string | undefined>> = {
  ready: undefined,
  unproven: 'Compared on 8 samples.',
  inconclusive: 'The original is constant.',
  rejected: 'face: SNR 3.0 dB (at least 10).',
  failed: 'The converter failed: no such op.'
}

/** A variant in each state, with everything that a report can show of it. */
export function variantIn(state: VariantState): VariantResult {
  const reason = reasons[state]
  return {
    variant: `one-${state}`,
    recipe: recipeOf(`one-${state}`, 'full_int8'),
    state,
    ...(reason === undefined ? {} : { reason }),
    path: `/somewhere/secret/one-${state}.tflite`,
    goldenOutputsPath: `/somewhere/secret/one-${state}.golden-outputs.bin`,
    sha256: 'c'.repeat(64),
    bytes: 621_072,
    inputs: [{ name: 'image', datatype: 'INT8', shape: [1, 8, 8, 3], quantization: { scale: 0.0078, zeroPoint: -1 } }],
    outputs: [{ name: 'face', datatype: 'INT8', shape: [1, 1] }],
    operators: [{ name: 'CONV_2D', version: 3, custom: false }],
    parity: parityOf(state === 'ready' ? 20 : 3),
    runtimes: [
      { name: 'litert', version: '2.3.0', runnable: true, parity: parityOf(20), p50Ms: 1.4 },
      { name: 'tfjs-tflite', version: '0.0.1', runnable: false, reason: 'it has no CONV_2D version 3' }
    ],
    attempts: [{ way: 'keras', outcome: 'failed', milliseconds: 12, error: 'no such op' }],
    estimate: { macs: 58_007_088, peakMemoryBytes: 1_157_148 },
    pictures: [
      {
        name: 'face',
        reference: { from: 0, to: 1, counts: [3, 0, 5] },
        candidate: { from: 0, to: 1, counts: [2, 1, 5] },
        error: { from: -0.1, to: 0.1, counts: [1, 6, 1] },
        pairs: [
          [0.1, 0.12],
          [0.9, 0.95]
        ]
      }
    ],
    ...(state === 'rejected'
      ? {
          layerErrors: [
            { tensor: 'a;net/block_3', operator: 'CONV_2D', position: 2, snrDb: 3, lossDb: 12 },
            { tensor: 'net/block_1', operator: 'CONV_2D', position: 1, snrDb: 15, lossDb: 2 },
            { tensor: 'image', operator: 'INPUT', position: 0, snrDb: null, lossDb: null }
          ],
          proposals: [
            {
              kind: 'float-layers' as const,
              summary: 'The worst layer kept float: SNR 12.0 dB instead of 3.0 dB.',
              recipe: recipeOf('full_int8-litertq-float1', 'full_int8'),
              state: 'ready' as const,
              parity: parityOf(12),
              bytes: 700_000,
              p50Ms: 1.9
            }
          ]
        }
      : {}),
    converterOptions: { calibrationSamples: 80 },
    converterMs: 4000
  }
}

export function resultOf(variants: VariantResult[], more: Partial<ConversionResult> = {}): ConversionResult {
  return {
    source: { sha256: 'a'.repeat(64), bytes: 2_227_504, format: 'keras' },
    calibrationSha256: 'd'.repeat(64),
    evaluationSha256: 'e'.repeat(64),
    preprocessing: {
      kernel: 'bilinear',
      fit: 'stretch',
      colors: 'rgb',
      scale: 1 / 127.5,
      offset: -1,
      layout: 'nhwc'
    },
    versions: { 'tensorflow-cpu': '2.21.0' },
    isolation: {
      namespaces: false,
      network: false,
      fileSystem: true,
      limits: { memoryBytes: 8e9, fileBytes: 2e9, cpuSeconds: 900, processes: 64 }
    },
    inputs: [{ name: 'picture', datatype: 'FP32', shape: [-1, 8, 8, 3] }],
    outputs: [{ name: 'face', datatype: 'FP32', shape: [-1, 1] }],
    names: { inputs: { picture: 'image' }, outputs: { face: 'face' } },
    reference: {
      name: 'keras',
      version: '3.15.1',
      agreement: { engine: 'tfjs-node', version: '4.22.0', maxAbsError: 2.6e-6, samples: 80 }
    },
    converter: { name: 'tf.lite.TFLiteConverter', version: '2.21.0', options: { batchSize: 1 } },
    variants,
    goldenInputsPath: '/somewhere/secret/golden-inputs.bin',
    warnings: ['calibrated on generated data'],
    timings: { total: 12_345 },
    ...more
  }
}
