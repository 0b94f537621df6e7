import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import type { ConversionRequest, ConversionResult, Deployment, Device, Job, Variant, Version } from '@skerry/contracts'
import { buildExampleModel, type ExampleModel } from '@skerry/converter'
import type { ApiClient } from '../api-client.ts'
import { CliError } from '../cli-error.ts'
import { heldOutImages, type Measured, measureDevice } from './measure-device.ts'

export const MODEL = 'face'
export const DEPLOYMENT = 'face'
export const MEMBERS = [
  { version: 'alpha-1.0', alpha: 1.0 },
  { version: 'alpha-0.35', alpha: 0.35 }
] as const
const RECIPES = ['float32', 'float16', 'dynamic_int8', 'full_int8'] as const

type Say = (line: string) => void
export type Member = (typeof MEMBERS)[number]
export type ExampleDeps = {
  client: ApiClient
  python: string
  dataDir: string
  signal: AbortSignal
}

/** The practice's worked example, a step a method; everything goes through the control plane's public interface. */
export class WorkedExample {
  readonly #deps: ExampleDeps
  readonly built = new Map<string, ExampleModel>()
  readonly measured: Measured[] = []
  deployment: Deployment | null = null
  randomAnswer: { device: string; value: number } | null = null

  constructor(deps: ExampleDeps) {
    this.#deps = deps
  }

  /** Builds and trains a member of the family, or takes the one of an earlier run. */
  async build(member: Member, say: Say): Promise<string> {
    const { python, dataDir, signal } = this.#deps
    const model = await buildExampleModel({
      python,
      signal,
      alpha: member.alpha,
      outDir: path.join(dataDir, 'example', member.version),
      onProgress: ({ percent, message }) => say(`${Math.round(percent)} % ${message}`)
    })
    this.built.set(member.version, model)
    const { accuracy, outputDeviation } = model.metrics
    const how = model.built ? 'trained' : 'kept from an earlier run'
    return `${how}, held-out accuracy ${accuracy.toFixed(3)}, outputs' deviation ${outputDeviation.toFixed(2)}`
  }

  async upload(member: Member): Promise<string> {
    const route = `/models/${MODEL}/versions/${member.version}/source?format=keras`
    const { sourceSha256, sourceBytes } = await this.#deps.client.putFile<Version>(route, this.#model(member).modelPath)
    return `${(sourceBytes / 1e6).toFixed(1)} MB as ${sourceSha256.slice(0, 12)}`
  }

  /** Calibrated on training images, or, to show what a proof is worth, on noise. */
  async convert(member: Member, calibration: 'images' | 'noise', say: Say): Promise<string> {
    const { client } = this.#deps
    const model = this.#model(member)
    const data = calibration === 'images' ? model.calibrationPath : model.noisePath
    const request: ConversionRequest = {
      variants: calibration === 'images' ? [...RECIPES] : ['full_int8'],
      calibration: { blob: await client.putBlobFile(data), format: 'npz' },
      evaluation: { blob: await client.putBlobFile(model.evaluationPath), format: 'npz' },
      // It shows what a proof is worth; what else could have been made is for the report of a model that is meant.
      propose: false,
      ...(calibration === 'noise' ? { suffix: 'noise' } : {})
    }
    const route = `/models/${MODEL}/versions/${member.version}`
    const { id } = await client.post<Job>(`${route}/conversions`, request)
    const job = await client.ended(id, ({ state, progress }) =>
      say(progress === undefined ? state : `${Math.round(progress.percent)} % ${progress.message}`)
    )
    if (job.state !== 'succeeded')
      throw new CliError(`Conversion ${id} ${job.state}: ${job.error?.message}\n${job.error?.detail ?? ''}`)
    const made = (await this.variants(member)).filter(
      (variant) => variant.variant.endsWith('-noise') === (calibration === 'noise')
    )
    const words = made.map((variant) => `${variant.variant} ${variant.state}`).join(', ')
    const { known = [] } = job.result as ConversionResult
    return known.length === 0 ? words : `${words} (${known.length} known from an earlier run)`
  }

  async variants(member: Member): Promise<Variant[]> {
    return (await this.#deps.client.get<{ items: Variant[] }>(`/models/${MODEL}/versions/${member.version}/variants`))
      .items
  }

  /** Puts the wide member on every device, and waits until each serves it or says why not. */
  async deploy(say: Say): Promise<string> {
    const { client, signal } = this.#deps
    const version = MEMBERS[0].version
    const existing = await client.get<{ items: Deployment[] }>('/deployments?limit=1000')
    if (!existing.items.some((deployment) => deployment.name === DEPLOYMENT))
      await client.post('/deployments', { name: DEPLOYMENT, model: MODEL, version })
    const until = Date.now() + 180_000
    for (;;) {
      const deployment = await client.get<Deployment>(`/deployments/${DEPLOYMENT}`)
      const shown = deployment.devices.map((entry) => `${entry.deviceName} ${entry.state}`)
      say(shown.join(', '))
      if (deployment.phase === 'ready') {
        this.deployment = deployment
        return deployment.devices.map((entry) => `${entry.deviceName}: ${entry.variant ?? entry.reason}`).join(', ')
      }
      if (deployment.phase === 'failed' || Date.now() > until) {
        const reasons = deployment.devices.map((entry) => `${entry.deviceName} ${entry.state}: ${entry.reason ?? ''}`)
        throw new CliError(`Deployment ${DEPLOYMENT} is ${deployment.phase}:\n${reasons.join('\n')}`)
      }
      signal.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  /** One device at a time, so that they do not share the cores while they are measured. */
  async infer(say: Say): Promise<string> {
    const { client, signal } = this.#deps
    const images = await heldOutImages(this.#model(MEMBERS[0]).evaluationPath, client)
    for (const placement of this.deployment?.devices ?? []) {
      if (placement.state !== 'ready') continue
      const device = await client.get<Device>(`/devices/${placement.device}`)
      const onProgress = (done: number, of: number) => say(`${device.name} ${done} of ${of}`)
      this.measured.push(await measureDevice({ client, model: MODEL, placement, device, images, onProgress, signal }))
    }
    return this.measured.map((entry) => `${entry.device} ${entry.runs} runs`).join(', ')
  }

  /** The practice's own last line: one input of np.random.random. */
  async inferRandom(): Promise<string> {
    const { client, python } = this.#deps
    const code =
      'import sys, numpy as np; sys.stdout.buffer.write(np.random.random((1, 224, 224, 3)).astype(np.float32).tobytes())'
    const { stdout } = await promisify(execFile)(python, ['-c', code], { encoding: 'buffer', maxBuffer: 2 ** 24 })
    const blob = await client.putBlob(stdout)
    const inputs = [{ name: 'image', datatype: 'FP32', shape: [1, 224, 224, 3], blob }]
    const { id } = await client.post<Job>('/jobs', { kind: 'inference', model: MODEL, inputs })
    const job = await client.ended(id)
    const value = job.outputs?.[0]?.data?.[0]
    const device = this.measured.find((entry) => entry.deviceId === job.attempts.at(-1)?.device)?.device ?? 'a device'
    if (typeof value !== 'number') throw new CliError(`Job ${id} ${job.state}: ${job.error?.message ?? 'no output'}`)
    this.randomAnswer = { device, value }
    return `${device} answers ${value.toFixed(4)}: ${value >= 0.5 ? 'face' : 'not a face'}`
  }

  #model(member: Member): ExampleModel {
    const model = this.built.get(member.version)
    if (model === undefined) throw new Error(`${member.version} was not built`)
    return model
  }
}
