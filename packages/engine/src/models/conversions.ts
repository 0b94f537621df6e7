import {
  type AssignConversion,
  type ConversionRequest,
  type ConvertedVariant,
  DEFAULT_TTL_MS,
  type Manifest,
  type ResultFrame,
  SkerryError
} from '@skerry/contracts'
import type { JobRow, NewVariant, Submitted } from '@skerry/registry'
import type { Static } from 'typebox'
import { CONVERSION_POOL } from '../jobs/dispatcher.ts'
import { requestHash, type Submission } from '../jobs/submission.ts'
import type { ManifestSigner } from '../manifest-signer.ts'
import type { EngineResources } from '../resources.ts'

type ConversionPayload = Static<typeof AssignConversion> & { suffix?: string }

/** From a conversion request to signed variants. */
export class Conversions {
  readonly #resources: EngineResources
  readonly #submission: Submission
  readonly #signer: ManifestSigner

  constructor(resources: EngineResources, submission: Submission, signer: ManifestSigner) {
    this.#resources = resources
    this.#submission = submission
    this.#signer = signer
  }

  async request(
    model: string,
    version: string,
    request: ConversionRequest,
    idempotencyKey: string | null
  ): Promise<Submitted> {
    const { registry, blobs } = this.#resources
    const source = await registry.models.getVersion(model, version)
    if (source.format === 'tflite')
      throw new SkerryError(
        'wrong-format',
        `${model} ${version} is a .tflite file already: upload its TensorFlow source to convert it`
      )
    for (const [name, set] of [
      ['calibration', request.calibration] as const,
      ['evaluation', request.evaluation] as const
    ])
      if (set !== undefined && !(await blobs.has(set.blob)))
        throw new SkerryError('blob-unknown', `${name}: no blob ${set.blob}; PUT it to /api/v1/blobs/${set.blob} first`)
    const { timeLimitMs = 1_800_000, ...terms } = request
    const payload: ConversionPayload = {
      kind: 'conversion',
      source: { sha256: source.sourceSha256, bytes: source.sourceBytes, format: source.format },
      timeLimitMs,
      ...terms
    }
    return this.#submission.insert({
      kind: 'conversion',
      pool: CONVERSION_POOL,
      priority: 0,
      model,
      version,
      deployment: null,
      payload,
      inputs: null,
      targetDeviceId: null,
      selector: {},
      maxAttempts: 3,
      ttlMs: DEFAULT_TTL_MS,
      idempotencyKey,
      requestHash: idempotencyKey === null ? null : requestHash({ model, version, request })
    })
  }

  /** Signs and stores what a device converted. Its blobs were uploaded before; a missing one refuses the result. */
  async store(row: JobRow, frame: ResultFrame): Promise<void> {
    const { registry, blobs } = this.#resources
    const result = frame.conversion
    if (result === undefined || row.model === null || row.version === null)
      throw new Error('the result holds no conversion')
    const { model, version } = row
    const payload = row.payload as ConversionPayload
    for (const variant of result.variants)
      for (const sha256 of [variant.sha256, variant.goldenOutputs, result.goldenInputs])
        if (sha256 !== undefined && !(await blobs.has(sha256))) throw new Error(`blob ${sha256} was not uploaded`)

    const variants = result.variants.map((converted): NewVariant => {
      const { recipe, goldenOutputs, ...facts } = converted
      const variant = payload.suffix === undefined ? recipe : `${recipe}-${payload.suffix}`
      const manifest = this.#manifest(row, payload, result, converted, variant)
      const base = { model, version, jobId: row.id, variant, recipe, ...facts, converter: result.converter }
      return manifest === null ? base : { ...base, manifest, signature: this.#signer.sign(manifest) }
    })
    await registry.models.storeConversion(model, version, result, variants)
    this.#submission.forgetServing()
  }

  /** Only what may ever be placed gets a manifest: a rejected artifact stays downloadable, and runs nowhere. */
  #manifest(
    row: JobRow,
    payload: ConversionPayload,
    result: NonNullable<ResultFrame['conversion']>,
    converted: ConvertedVariant,
    variant: string
  ): Manifest | null {
    const { sha256, bytes, state, recipe } = converted
    if (sha256 === undefined || bytes === undefined || !['ready', 'unproven'].includes(state)) return null
    return {
      artifact: sha256,
      bytes,
      model: row.model ?? '',
      version: row.version ?? '',
      variant,
      recipe,
      state,
      sourceSha256: payload.source.sha256,
      ...(payload.calibration === undefined ? {} : { calibrationSha256: payload.calibration.blob }),
      names: result.names,
      ...(result.goldenInputs === undefined ? {} : { goldenInputs: result.goldenInputs }),
      ...(converted.goldenOutputs === undefined ? {} : { goldenOutputs: converted.goldenOutputs }),
      converter: result.converter,
      createdAt: new Date(this.#resources.nowMs()).toISOString()
    }
  }
}
