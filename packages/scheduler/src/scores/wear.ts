import type { Score } from '../framework.ts'

/** Reads runs and bytes written so far, on a logarithmic scale, so that equal devices age alike. */
export const wearScore: Score = {
  name: 'wear',
  reads: 'device.runs, device.writtenBytes',
  cost: (_, { runs, writtenBytes }) => Math.log1p(runs) + Math.log1p(writtenBytes / 1e6)
}
