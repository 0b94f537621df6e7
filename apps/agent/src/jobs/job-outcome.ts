import type { Assignment, ResultFrame } from '@skerry/contracts'

/** What an executor hands back; the desk adds the job's id and epoch and keeps it until it is acknowledged. */
export type JobOutcome = {
  result: Pick<ResultFrame, 'runtime' | 'timings' | 'outputs' | 'conversion' | 'benchmark'>
  /** The tensors that `result.outputs` names and that are not blobs, in order. */
  body: readonly Uint8Array[]
}

export type JobContext = {
  jobId: string
  epoch: number
  /** Milliseconds on the agent's clock when the assignment came. */
  receivedAtMs: number
  signal: AbortSignal
  progress: (stage: string, percent: number, message: string, log?: readonly string[]) => void
}

export type JobExecutor<Kind extends Assignment['kind']> = (
  work: Extract<Assignment, { kind: Kind }>,
  body: Uint8Array,
  context: JobContext
) => Promise<JobOutcome>

export type JobExecutors = { [Kind in Assignment['kind']]: JobExecutor<Kind> }
