import { createHash } from 'node:crypto'
import type { ConversionResult, ConvertedVariant, Deployment, Job } from '@skerry/contracts'
import { type Answer, SimulatedDevice } from '@skerry/testkit'
import { bordersOf, type TestModel } from '../apps/agent/test/models.ts'
import { eventually, type Stack } from './stack.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
/** Enough of an HDF5 file for the upload's own look at it; no simulated device ever loads it. */
export const fakeSource = Buffer.concat([Buffer.from('894844460d0a1a0a', 'hex'), Buffer.alloc(56)])

export type SimulatedVariant = {
  recipe: 'float32' | 'full_int8'
  accuracy: number
  operator?: string
  agreement?: number
  details?: NonNullable<ConvertedVariant['details']>
}

async function putBlob(stack: Stack, bytes: Uint8Array): Promise<string> {
  const hash = sha256(bytes)
  await stack.must('PUT', `/blobs/${hash}`, bytes, { 'content-type': 'application/octet-stream' })
  return hash
}

/** Uploads a model `name` with input x[1,4] and output y[1,1], converted by a simulated converting device. */
export async function simulatedModel(stack: Stack, name: string, variants: SimulatedVariant[]): Promise<void> {
  const converted: ConversionResult['variants'] = []
  for (const { recipe, accuracy, operator = 'CONV_2D', agreement, details } of variants) {
    const bytes = Buffer.from(`${name} ${recipe}`)
    converted.push({
      recipe,
      state: 'ready',
      sha256: await putBlob(stack, bytes),
      bytes: bytes.length,
      inputs: [],
      outputs: [],
      operators: [{ name: operator, version: 1, custom: false }],
      parity: {
        reference: 'keras',
        data: 'uploaded',
        samples: 80,
        outputs: [
          {
            name: 'y',
            snrDb: 40,
            maxAbsError: 0.01,
            meanAbsError: 0.001,
            ...(agreement === undefined ? {} : { agreement }),
            tolerance: {},
            passed: true
          }
        ],
        accuracy: { original: 0.95, variant: accuracy },
        passed: true
      },
      ...(details === undefined ? {} : { details })
    })
  }
  await convertAs(stack, name, {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
    names: { inputs: { x: 'x' }, outputs: { y: 'output_0' } },
    converter: { name: 'simulated', version: '1', options: {} },
    reference: {},
    variants: converted,
    warnings: [],
    timings: {}
  })
}

/** Uploads a model `name` whose one variant is a real file, which real agents can run. */
export async function realModel(stack: Stack, name: string, model: TestModel): Promise<void> {
  await convertAs(stack, name, {
    ...bordersOf(model),
    names: model.names,
    converter: { name: 'simulated', version: '1', options: {} },
    reference: {},
    variants: [
      {
        recipe: 'float32',
        state: 'ready',
        sha256: await putBlob(stack, model.bytes),
        bytes: model.bytes.byteLength,
        inputs: [],
        outputs: [],
        operators: []
      }
    ],
    warnings: [],
    timings: {}
  })
}

async function convertAs(stack: Stack, name: string, result: ConversionResult): Promise<void> {
  const converter = new SimulatedDevice({
    url: stack.url,
    token: await stack.joinToken(['convert']),
    name: `converter-${name}`,
    capabilities: ['convert'],
    slots: { infer: 0, convert: 1 },
    onAssign: () => ({ frame: { conversion: result } })
  })
  await converter.connect()
  await stack.must('PUT', `/models/${name}/versions/1/source?format=h5`, fakeSource)
  const job = await stack.must<Job>('POST', `/models/${name}/versions/1/conversions`, {
    variants: result.variants.map(({ recipe }) => recipe)
  })
  const ended = await stack.ended(job.id)
  if (ended.state !== 'succeeded') throw new Error(`conversion: ${JSON.stringify(ended)}`)
  await converter.close()
}

export async function deploy(stack: Stack, model: string, ready: number): Promise<Deployment> {
  await stack.must('POST', '/deployments', { name: `${model}-all`, model, version: '1' })
  return eventually(async () => {
    const deployment = await stack.must<Deployment>('GET', `/deployments/${model}-all`)
    return deployment.devices.filter((entry) => entry.state === 'ready').length >= ready && deployment
  })
}

export const inputOf = (values: number[]) => [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: values }]

/** Answers y = the sum of x, so that a test sees whose inputs it got back. */
export function sumOf(body: Uint8Array): Answer {
  const x = new Float32Array(Uint8Array.from(body).buffer)
  const y = new Float32Array([x.reduce((sum, value) => sum + value, 0)])
  return {
    frame: {
      runtime: 'litert',
      timings: { deviceMs: 1, inferenceMs: 0.5, quantizeMs: 0, dequantizeMs: 0 },
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], bytes: 4 }]
    },
    body: [new Uint8Array(y.buffer)]
  }
}

/** A device that times any variant at `p50Ms` and sums its inputs. */
export async function summingDevice(
  stack: Stack,
  name: string,
  options: {
    runtime?: 'litert' | 'tfjs-tflite'
    p50Ms?: (artifact: string) => number
    slots?: number
    labels?: Record<string, string>
    facts?: NonNullable<SimulatedDevice['options']['facts']>
    peakRssBytes?: number
  } = {}
): Promise<SimulatedDevice> {
  const runtime = options.runtime ?? 'litert'
  const device = new SimulatedDevice({
    url: stack.url,
    token: await stack.joinToken(['infer'], options.labels),
    name,
    ...(options.facts === undefined ? {} : { facts: options.facts }),
    slots: { infer: options.slots ?? 1, convert: 0 },
    runtimes: [{ name: runtime, version: '1' }],
    onAssign: ({ work }, body) =>
      work.kind === 'benchmark'
        ? {
            frame: {
              benchmark: {
                artifact: work.artifact,
                runtime,
                runs: 50,
                initMs: 1,
                firstMs: 1,
                p50Ms: options.p50Ms?.(work.artifact) ?? 1,
                p99Ms: Math.max(2, (options.p50Ms?.(work.artifact) ?? 1) * 1.2),
                ...(options.peakRssBytes === undefined ? {} : { peakRssBytes: options.peakRssBytes })
              }
            }
          }
        : sumOf(body)
  })
  await device.connect()
  return device
}
