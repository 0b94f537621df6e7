import type { Score } from '../framework.ts'

/** Reads whether the artifact is here and loaded: transfer, load and first run, where they are still to come. */
export const coldStartScore: Score = {
  name: 'cold-start',
  reads: 'device.artifacts, context.coldStart',
  cost: ({ artifact }, device, { coldStart }) => {
    if (artifact === null || device.artifacts.get(artifact.sha256) === 'loaded') return 0
    const { transferMs, loadMs, firstRunMs } = coldStart(device, artifact)
    return (device.artifacts.has(artifact.sha256) ? 0 : transferMs) + loadMs + firstRunMs
  }
}
