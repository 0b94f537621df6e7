import type { Filter } from '../framework.ts'

/** Reads whether the artifact's manifest is signed by a key that is trusted now. */
export const trustFilter: Filter = {
  name: 'trust',
  reads: 'work.artifact.signatureTrusted',
  reject: ({ artifact }) =>
    artifact === null || artifact.signatureTrusted ? null : "the artifact's signature is not trusted"
}
