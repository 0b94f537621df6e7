import {
  arrayOver,
  askedOutputs,
  bytesOver,
  encodeInferAnswer,
  type InferRequest,
  type InferTensor,
  type RuntimeName
} from '@skerry/contracts'
import type { ModelSession } from '@skerry/runtimes'
import { elementCount, type TensorSpec } from '@skerry/tflite'
import type { Lane } from '../lane.ts'
import type { Placement, Reconciler } from '../reconciler.ts'
import { runBatch } from '../run-batch.ts'
import type { RuntimeHost } from '../runtime-host.ts'
import { castInputs, datatypeOf } from '../tensor-values.ts'
import { invalid, LocalError } from './local-error.ts'

export type LocalModelsDeps = {
  reconciler: Reconciler
  host: RuntimeHost
  /** The one that jobs take their slots from too. */
  lane: Lane
  /** Throws `device-limited` while the device must not take work. */
  admit: () => Promise<void>
  recordLatency: (deployment: string, artifact: string, runtime: RuntimeName, inferenceMs: number) => void
}

/** Requests that wait for a slot before the next one is refused. */
const MAX_WAITING = 64

type TensorMetadata = { name: string; datatype: string; shape: number[] }
export type ModelMetadata = {
  name: string
  versions: string[]
  platform: 'tensorflow_tflite'
  inputs: TensorMetadata[]
  outputs: TensorMetadata[]
}

/**
 * The models deployed on this device, by the names and versions under which they were uploaded, in the original's
 * tensor names and datatypes. Of several that fit, the answer comes from one that is ready, of the newest manifest.
 */
export class LocalModels {
  readonly #deps: LocalModelsDeps

  constructor(deps: LocalModelsDeps) {
    this.#deps = deps
  }

  /** Whether what is wanted is known and nothing of it is still on its way. */
  isReady(): boolean {
    const placements = this.#deps.reconciler.placements()
    return placements?.every(({ state }) => state === 'ready' || state === 'failed') ?? false
  }

  /** Throws LocalError 404 for a model that is not deployed here. */
  isModelReady(name: string, version?: string): boolean {
    return this.#placement(name, version).state === 'ready'
  }

  async metadata(name: string, version?: string): Promise<ModelMetadata> {
    const placement = this.#placement(name, version)
    if (placement.state !== 'ready') throw new LocalError(503, notReady(name, placement))
    const { session } = await this.#deps.host.model(placement.unit.id)
    const versions = new Set(this.#placements(name).map(({ unit }) => unit.manifest.version))
    return {
      name,
      versions: [...versions],
      platform: 'tensorflow_tflite',
      inputs: session.inputs.map(describe),
      outputs: session.outputs.map(describe)
    }
  }

  async infer(
    name: string,
    version: string | undefined,
    request: InferRequest,
    signal: AbortSignal
  ): Promise<ReturnType<typeof encodeInferAnswer>> {
    const { reconciler, host, lane, admit, recordLatency } = this.#deps
    const { unit: wanted } = this.#placement(name, version)
    const [deployment = ''] = wanted.deployments
    await admit()
    // Waits for a model that is on its way, as a job does, but before it takes a slot.
    const unit = await reconciler.ready(deployment, wanted.artifact, signal)
    if (lane.waiting('local') >= MAX_WAITING) throw new LocalError(503, `${MAX_WAITING} requests wait already.`)
    const release = await lane.take(signal, 'local')
    try {
      const { session } = await host.model(unit.id)
      checkShapes(session, request.inputs)
      const asked = askedOutputs(
        session.outputs.map((output) => output.name),
        request
      )
      const given = request.inputs.map(({ bytes, ...rest }) => ({ ...rest, data: arrayOver(rest.datatype, bytes) }))
      const { outputs, timings } = await runBatch(session, castInputs(session.inputs, given), (part) =>
        host.run(unit.id, part, signal)
      )
      recordLatency(deployment, unit.artifact, unit.runtime, timings.inferenceMs)
      const { id } = request
      return encodeInferAnswer(
        { name, version: unit.manifest.version, ...(id === undefined ? {} : { id }) },
        asked.map((one) => {
          const output = outputs.get(one.name)
          if (output === undefined) throw new LocalError(500, `The runtime answered no output ${one.name}.`)
          return { ...one, datatype: datatypeOf(output.dtype), shape: output.shape, bytes: bytesOver(output.data) }
        })
      )
    } finally {
      release()
    }
  }

  #placements(name: string): Placement[] {
    return (this.#deps.reconciler.placements() ?? []).filter(({ unit }) => unit.manifest.model === name)
  }

  #placement(name: string, version: string | undefined): Placement {
    const all = this.#placements(name).filter(({ unit }) => version === undefined || unit.manifest.version === version)
    const best = all.toSorted((a, b) => rank(b).localeCompare(rank(a)))[0]
    if (best !== undefined) return best
    const what = version === undefined ? `Model ${name}` : `Version ${version} of model ${name}`
    throw new LocalError(404, `${what} is not deployed on this device.`)
  }
}

const rank = ({ state, unit: { manifest } }: Placement): string =>
  `${state === 'ready' ? 1 : 0} ${new Date(manifest.createdAt).toISOString()}`

const notReady = (name: string, { state, reason }: Placement): string =>
  `Model ${name} is ${state}${reason === undefined ? '.' : `: ${reason}`}`

function describe({ name, dtype, shape, shapeSignature }: TensorSpec): TensorMetadata {
  return { name, datatype: datatypeOf(dtype), shape: [...(shapeSignature ?? shape)] }
}

/** All dimensions fit but the first, which may be a multiple: such a batch runs part by part. */
function checkShapes({ inputs }: Pick<ModelSession, 'inputs'>, given: readonly InferTensor[]): void {
  for (const { name, shape } of given) {
    const spec = inputs.find((input) => input.name === name)
    if (spec === undefined) continue
    const [rows, ...rest] = spec.shape
    const fits =
      shape.length === spec.shape.length &&
      rest.every((size, index) => shape[index + 1] === size) &&
      (rows === undefined || ((shape[0] ?? 0) > 0 && (shape[0] ?? 0) % rows === 0))
    if (fits || elementCount(spec.shape) === 0) continue
    throw invalid(`Input ${name} has shape [${shape.join(', ')}]; the model takes [${spec.shape.join(', ')}].`)
  }
}
