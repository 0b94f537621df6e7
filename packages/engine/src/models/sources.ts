import type { BlobInfo } from '@skerry/blobs'
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
   * Makes a version of a source that was streamed to the blob store. What is refused is removed again, unless these
   * bytes were stored before this upload (`wasStored`), because then something else may use them.
   */
  async accept(
    model: string,
    version: string,
    format: SourceFormat,
    blob: BlobInfo,
    wasStored: boolean
  ): Promise<Version> {
    const { blobs, registry } = this.#resources
    try {
      await checkSourceFormat(blobs, blob.sha256, blob.bytes, format)
      return await registry.models.createVersion({
        model,
        version,
        format,
        sourceSha256: blob.sha256,
        sourceBytes: blob.bytes
      })
    } catch (error) {
      if (!wasStored) await blobs.remove(blob.sha256)
      throw error
    }
  }
}
