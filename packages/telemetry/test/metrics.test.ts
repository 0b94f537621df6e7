import { describe, expect, it } from 'vitest'
import { createMetrics } from '../src/index.ts'

describe('metrics', () => {
  it('render what was counted, under the prefix', async () => {
    const metrics = createMetrics()
    metrics.devices.set({ state: 'online' }, 3)
    metrics.jobs.inc({ kind: 'inference', state: 'succeeded' })
    metrics.jobs.inc({ kind: 'inference', state: 'succeeded' })
    metrics.inferenceMs.observe({ runtime: 'litert' }, 2.75)
    const text = await metrics.render()
    expect(text).toContain('skerry_devices{state="online"} 3')
    expect(text).toContain('skerry_jobs_total{kind="inference",state="succeeded"} 2')
    expect(text).toContain('skerry_job_inference_ms_bucket{le="2.5",runtime="litert"} 0')
    expect(text).toContain('skerry_job_inference_ms_bucket{le="5",runtime="litert"} 1')
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] ?? '')
    expect(names.filter((name) => !name.startsWith('skerry_'))).toEqual([])
    expect(metrics.contentType).toContain('text/plain')
  })

  it('have a registry of their own', async () => {
    const [first, second] = [createMetrics(), createMetrics()]
    first.sweepReadds.inc(7)
    expect(await second.render()).toContain('skerry_sweep_readds_total 0')
  })

  it('ask for gauges when they are rendered', async () => {
    const metrics = createMetrics()
    let waiting = 1
    metrics.beforeRender(async () => metrics.jobsQueued.set({ kind: 'inference' }, waiting))
    expect(await metrics.render()).toContain('skerry_jobs_queued{kind="inference"} 1')
    waiting = 5
    expect(await metrics.render()).toContain('skerry_jobs_queued{kind="inference"} 5')
  })
})
