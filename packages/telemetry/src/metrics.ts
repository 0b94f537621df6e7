import { Counter, Gauge, Histogram, Registry } from 'prom-client'

const DURATION_BUCKETS_MS = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000
]

/** What the control plane tells Prometheus. The label values are contracts' words for states and kinds. */
export type Metrics = {
  devices: Gauge<'state'>
  websocketSessions: Gauge
  jobsQueued: Gauge<'kind'>
  /** 1 at the replica that schedules. */
  scheduling: Gauge
  schedulerTerm: Gauge
  /** Jobs that ended, by the state they ended in. */
  jobs: Counter<'kind' | 'state'>
  jobAttemptsRequeued: Counter<'kind' | 'reason'>
  /** Results of an older epoch, or of a job that is not known. */
  staleResultsDropped: Counter
  /** Queued jobs that the sweep had to add to the queue again. */
  sweepReadds: Counter
  /** Synchronous inferences that somebody waits for at this replica. */
  callsWaiting: Gauge
  /** Of synchronous inferences, whose records could not be written for too long. */
  callRecordsDropped: Counter
  /** Synchronous inferences that were tried again, on another device or because they were lost. */
  callsRepeated: Counter
  queueMs: Histogram<'kind'>
  dispatchMs: Histogram<'kind'>
  transportMs: Histogram<'kind'>
  inferenceMs: Histogram<'runtime'>
  /** What a run took over what was predicted, or the other way round: 1 is exact. */
  predictionError: Histogram<'source'>
  /** Sets the gauges' values just before each rendering; for what is cheaper to count then than to keep. */
  beforeRender(collect: () => void | Promise<void>): void
  render(): Promise<string>
  contentType: string
}

/** A registry of its own, so that several control planes can live in one process. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const collectors: (() => void | Promise<void>)[] = []
  const gauge = <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge<L>({ name: `skerry_${name}`, help, labelNames, registers })
  const counter = <L extends string = never>(name: string, help: string, ...labelNames: L[]) =>
    new Counter<L>({ name: `skerry_${name}`, help, labelNames, registers })
  const duration = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Histogram<L>({ name: `skerry_${name}`, help, labelNames, buckets: DURATION_BUCKETS_MS, registers })

  return {
    devices: gauge('devices', 'Enrolled devices by state', 'state'),
    websocketSessions: gauge('websocket_sessions', 'Agents connected to this replica'),
    jobsQueued: gauge('jobs_queued', 'Jobs that wait to be claimed', 'kind'),
    scheduling: gauge('scheduling', '1 at the replica that schedules, 0 at one that stands by'),
    schedulerTerm: gauge('scheduler_term', 'Takeovers of scheduling so far, as this replica knows'),
    jobs: counter('jobs_total', 'Jobs that ended, by the state they ended in', 'kind', 'state'),
    jobAttemptsRequeued: counter(
      'job_attempts_requeued_total',
      'Attempts that ended and were queued again',
      'kind',
      'reason'
    ),
    staleResultsDropped: counter('stale_results_dropped_total', 'Results of an older epoch or of an unknown job'),
    sweepReadds: counter('sweep_readds_total', 'Queued jobs that the sweep added to the queue again'),
    callsWaiting: gauge('calls_waiting', 'Synchronous inferences that somebody waits for at this replica'),
    callRecordsDropped: counter('call_records_dropped_total', 'Records of synchronous inferences that were not kept'),
    callsRepeated: counter('calls_repeated_total', 'Synchronous inferences that were tried again'),
    queueMs: duration('job_queue_ms', 'Submission to claim, in milliseconds', 'kind'),
    dispatchMs: duration('job_dispatch_ms', 'Claim to the frame leaving the control plane, in milliseconds', 'kind'),
    transportMs: duration('job_transport_ms', 'Round trip less the time on the device, in milliseconds', 'kind'),
    inferenceMs: duration('job_inference_ms', "The runtime's own invoke, in milliseconds", 'runtime'),
    predictionError: new Histogram({
      name: 'skerry_latency_prediction_error_ratio',
      help: 'Round trip of a job over its prediction, or the inverse: 1 is exact',
      labelNames: ['source'],
      buckets: [1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.5, 1.75, 2, 3, 5, 10, 30],
      registers
    }),
    beforeRender: (collect) => {
      collectors.push(collect)
    },
    render: async () => {
      await Promise.all(collectors.map((collect) => collect()))
      return registry.metrics()
    },
    contentType: registry.contentType
  }
}
