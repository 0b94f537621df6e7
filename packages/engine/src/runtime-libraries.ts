import { Readable } from 'node:stream'
import type { BlobStore } from '@skerry/blobs'
import type { RuntimeLibrary, RuntimeLibraryOffer } from '@skerry/contracts'
import type { ManifestSigner } from './manifest-signer.ts'

/** Native libraries that devices fetch, so that they need no Python: blobs, each with a signed statement. */
export class RuntimeLibraries {
  readonly #blobs: BlobStore
  readonly #signer: ManifestSigner
  readonly #offers = new Map<string, RuntimeLibraryOffer>()

  constructor(blobs: BlobStore, signer: ManifestSigner) {
    this.#blobs = blobs
    this.#signer = signer
  }

  async add(library: RuntimeLibrary, bytes: Uint8Array): Promise<void> {
    if (!(await this.#blobs.has(library.sha256)))
      await this.#blobs.put(Readable.from([bytes]), { expectedSha256: library.sha256 })
    this.#offers.set(library.sha256, { library, signature: this.#signer.sign(library) })
  }

  list(): RuntimeLibraryOffer[] {
    return [...this.#offers.values()]
  }
}
