import {
  bytesOver,
  type Datatype,
  type FrameTensor,
  INLINE_TENSOR_BYTES,
  type RuntimeName,
  sliceTensors
} from '@skerry/contracts'
import type { SessionResult, TensorData } from '@skerry/runtimes'
import { AgentError } from '../agent-error.ts'
import { type BlobClient, sha256Of } from '../blob-client.ts'
import type { Reconciler } from '../reconciler.ts'
import { runBatch } from '../run-batch.ts'
import type { RuntimeHost } from '../runtime-host.ts'
import { castInputs, convertArray, datatypeOf, toArray } from '../tensor-values.ts'
import type { JobExecutor } from './job-outcome.ts'

export type InferenceDeps = {
  reconciler: Reconciler
  host: RuntimeHost
  blobs: BlobClient
  recordLatency: (deployment: string, artifact: string, runtime: RuntimeName, inferenceMs: number) => void
  now: () => number
}

/** No tensor of a job is larger: what a device would have to hold in memory several times over. */
const MAX_TENSOR_BYTES = 512 * 1024 * 1024
/** All inline outputs of one result; the rest of a frame's 1 MiB is for its header. */
const MAX_INLINE_BYTES = 768 * 1024

/** Runs one inference by the original model's names and datatypes, whatever variant this device serves. */
export function inferenceExecutor(deps: InferenceDeps): JobExecutor<'inference'> {
  return async (work, body, { receivedAtMs, signal }) => {
    const unit = await deps.reconciler.ready(work.deployment, work.artifact, signal)
    const inputs = await fetchInputs(work.inputs, body, deps.blobs, signal)
    const { session } = await deps.host.model(unit.id)
    const { outputs, timings } = await runBatch(session, castInputs(session.inputs, inputs), (part) =>
      deps.host.run(unit.id, part, signal)
    )
    deps.recordLatency(work.deployment, work.artifact, unit.runtime, timings.inferenceMs)
    const packed = await packOutputs(work, outputs, deps.blobs, signal)
    return {
      result: {
        runtime: unit.runtime,
        timings: { deviceMs: deps.now() - receivedAtMs, ...timings },
        outputs: packed.headers
      },
      body: packed.body
    }
  }
}

type GivenTensor = { name: string; datatype: Datatype; data: TensorData }

async function fetchInputs(
  tensors: readonly FrameTensor[],
  body: Uint8Array,
  blobs: BlobClient,
  signal: AbortSignal
): Promise<GivenTensor[]> {
  const inputs = sliceTensors(tensors, body)
  await Promise.all(
    tensors.map(async ({ name, blob, bytes }) => {
      if (blob === undefined) return
      if (bytes > MAX_TENSOR_BYTES) throw new AgentError('tensor-invalid', `Input ${name} has ${bytes} bytes.`)
      inputs.set(name, await blobs.read(blob, bytes, signal))
    })
  )
  return tensors.map(({ name, datatype, shape }) => ({
    name,
    datatype,
    data: toArray(name, datatype, shape, inputs.get(name) ?? new Uint8Array(0))
  }))
}

type Asked = { outputs: readonly { name: string; datatype: Datatype }[]; inlineBytes?: number | undefined }

/** Outputs in the order that was asked for; small ones inline, the others stored as blobs. */
async function packOutputs(
  { outputs: asked, inlineBytes: most = INLINE_TENSOR_BYTES }: Asked,
  outputs: SessionResult['outputs'],
  blobs: BlobClient,
  signal: AbortSignal
): Promise<{ headers: FrameTensor[]; body: Uint8Array[] }> {
  const body: Uint8Array[] = []
  const uploads: Promise<void>[] = []
  let inlineBytes = 0
  const headers = asked.map(({ name, datatype }): FrameTensor => {
    const output = outputs.get(name)
    if (output === undefined) {
      throw new AgentError(
        'tensor-invalid',
        `The model has no output ${name}; it has ${[...outputs.keys()].join(', ')}.`
      )
    }
    const bytes = bytesOver(convertArray(output.data, datatypeOf(output.dtype), datatype))
    const header = { name, datatype, shape: output.shape, bytes: bytes.byteLength }
    if (bytes.byteLength <= most && inlineBytes + bytes.byteLength <= MAX_INLINE_BYTES) {
      inlineBytes += bytes.byteLength
      body.push(bytes)
      return header
    }
    const blob = sha256Of(bytes)
    uploads.push(blobs.write(blob, bytes, signal))
    return { ...header, blob }
  })
  await Promise.all(uploads)
  return { headers, body }
}
