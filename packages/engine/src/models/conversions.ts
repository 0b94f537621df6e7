import {
  type AssignConversion,
  type ConversionRequest,
  type ConvertedVariant,
  DEFAULT_TTL_MS,
  type Manifest,
  type ResultFrame,
  SkerryError,
  type Version
} from '@skerry/contracts'
import type { JobRow, NewVariant, Submitted } from '@skerry/registry'
import type { Static } from 'typebox'
import { CONVERSION_POOL } from '../jobs/pools.ts'
import type { ServingModels } from '../jobs/serving.ts'
import { requestHash, type Submission } from '../jobs/submission.ts'
import type { ManifestSigner } from '../manifest-signer.ts'
import type { EngineResources } from '../resources.ts'
import { blobsOf, findKnown, rememberConversion } from './known-conversions.ts'

type ConversionPayload = Static<typeof AssignConversion> & { suffix?: string }

const DEFAULT_VARIANTS = ['float32', 'float16', 'dynamic_int8', 'full_int8']

/** From a conversion request to signed variants. */
export class Conversions {
  readonly #resources: EngineResources
  readonly #submission: Submission
  readonly #serving: ServingModels
  readonly #signer: ManifestSigner

  constructor(resources: EngineResources, submission: Submission, serving: ServingModels, signer: ManifestSigner) {
    this.#resources = resources
    this.#submission = submission
    this.#serving = serving
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
    const variants = variantsOf(request, source)
    for (const [name, set] of [
      ['calibration', request.calibration] as const,
      ['evaluation', request.evaluation] as const
    ])
      if (set !== undefined && !(await blobs.has(set.blob)))
        throw new SkerryError('blob-unknown', `${name}: no blob ${set.blob}; PUT it to /api/v1/blobs/${set.blob} first`)
      else if (set?.format === 'images' && request.preprocessing === undefined)
        throw new SkerryError('invalid-request', `${name} holds images: say their preprocessing`)
    const { timeLimitMs = 1_800_000, fresh = false, batchSize: _, ...terms } = request
    const payload: ConversionPayload = {
      kind: 'conversion',
      source: { sha256: source.sourceSha256, bytes: source.sourceBytes, format: source.format },
      timeLimitMs,
      ...terms,
      variants
    }
    const known = fresh ? {} : await findKnown(this.#resources, payload)
    if (Object.keys(known).length > 0) payload.known = known
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
      terms: {},
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
    for (const sha256 of blobsOf(result))
      if (!(await blobs.has(sha256))) throw new Error(`blob ${sha256} was not uploaded`)

    const variants = result.variants.map((converted): NewVariant => {
      const { recipe, goldenOutputs, ...facts } = converted
      const variant = payload.suffix === undefined ? recipe : `${recipe}-${payload.suffix}`
      const manifest = this.#manifest(row, payload, result, converted, variant)
      const base = { model, version, jobId: row.id, variant, recipe, ...facts, converter: result.converter }
      return manifest === null ? base : { ...base, manifest, signature: this.#signer.sign(manifest) }
    })
    await registry.models.storeConversion(model, version, result, variants)
    await rememberConversion(this.#resources, payload, result)
    this.#serving.forget()
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
      ...(payload.evaluation === undefined ? {} : { evaluationSha256: payload.evaluation.blob }),
      ...(payload.preprocessing === undefined ? {} : { preprocessing: payload.preprocessing }),
      ...(result.versions === undefined ? {} : { versions: result.versions }),
      runtimes: (converted.runtimes ?? []).map(({ name, version }) => ({ name, version })),
      names: result.names,
      ...(result.goldenInputs === undefined ? {} : { goldenInputs: result.goldenInputs }),
      ...(converted.goldenOutputs === undefined ? {} : { goldenOutputs: converted.goldenOutputs }),
      converter: result.converter,
      createdAt: new Date(this.#resources.nowMs()).toISOString()
    }
  }
}

/** @throws SkerryError `wrong-format`: a .tflite file is run and described as it is, and TensorFlow's are converted. */
function variantsOf({ variants }: ConversionRequest, { model, version, format }: Version): string[] {
  if (format !== 'tflite') {
    if (variants?.includes('original'))
      throw new SkerryError('wrong-format', `${model} ${version} is no .tflite file: it has no variant \`original\``)
    return variants ?? DEFAULT_VARIANTS
  }
  if (variants?.some((variant) => variant !== 'original'))
    throw new SkerryError(
      'wrong-format',
      `${model} ${version} is a .tflite file already, its only variant is \`original\`: upload its TensorFlow source to convert it`
    )
  return ['original']
}
