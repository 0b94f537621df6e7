import type { PutOptions } from '@skerry/blobs'
import type { SourceFormat, Version } from '@skerry/contracts'
import type { EngineResources } from '../resources.ts'
import { checkSourceFormat } from './source-format.ts'

/** Takes in model sources. */
export class Sources {
  readonly #resources: EngineResources
  constructor(resources: EngineResources) {
    this.#resources = resources
  }

  /**
   * Makes a version of a streamed source. It is looked at before it becomes a blob, so that nothing of a refused one
   * stays, and nothing that was stored before it goes. Throws `not-a-model`, `wrong-format`, `version-exists`.
   */
  async accept(
    model: string,
    version: string,
    format: SourceFormat,
    source: AsyncIterable<Uint8Array>,
    options: Pick<PutOptions, 'expectedSha256' | 'maxBytes'>
  ): Promise<Version> {
    const { blobs, registry } = this.#resources
    const blob = await blobs.put(source, {
      ...options,
      check: async (part) => {
        await checkSourceFormat(part, format)
        await registry.models.refuseOtherSource(model, version, { format, sourceSha256: part.sha256 })
      }
    })
    return registry.models.createVersion({ model, version, format, sourceSha256: blob.sha256, sourceBytes: blob.bytes })
  }
}
