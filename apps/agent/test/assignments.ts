import { randomUUID } from 'node:crypto'
import { type FrameTensor, type ResultFrame, sliceTensors } from '@skerry/contracts'
import type { ControlPlane } from './control-plane.ts'
import type { TestModel } from './models.ts'

const ramp = (elements: number): Float32Array => Float32Array.from({ length: elements }, (_, i) => Math.sin(i))

export type InferenceJob = {
  artifact: string
  model: TestModel
  batch?: number
  inline?: boolean
  jobId?: string
  epoch?: number
}

/** Assigns an inference for deployment `faces` on a square RGB input; its input is the same for the same batch. */
export function assignInference(
  controlPlane: ControlPlane,
  { artifact, model, batch = 1, inline = false, jobId = randomUUID(), epoch = 1 }: InferenceJob
): string {
  const { input, inputElements, outputs } = model
  const bytes = new Uint8Array(ramp(inputElements * batch).buffer)
  const side = Math.sqrt(inputElements / 3)
  const header = { name: input, datatype: 'FP32' as const, shape: [batch, side, side, 3], bytes: bytes.byteLength }
  const tensor: FrameTensor = inline ? header : { ...header, blob: controlPlane.addBlob(bytes) }
  const work = {
    kind: 'inference' as const,
    deployment: 'faces',
    artifact,
    inputs: [tensor],
    outputs: outputs.map((name) => ({ name, datatype: 'FP32' as const }))
  }
  controlPlane.send({ type: 'assign', jobId, epoch, work }, inline ? [bytes] : [])
  return jobId
}

/** A job that fails at once, because nothing like it is placed: its result needs no model. */
export function assignHopeless(controlPlane: ControlPlane, jobId: string = randomUUID(), epoch = 1): string {
  const artifact = '0'.repeat(64)
  const work = { kind: 'inference' as const, deployment: 'none', artifact, inputs: [], outputs: [] }
  controlPlane.send({ type: 'assign', jobId, epoch, work })
  return jobId
}

export function outputsOf(
  controlPlane: ControlPlane,
  { frame, body }: { frame: ResultFrame; body: Uint8Array }
): Map<string, Float32Array> {
  const headers = frame.outputs ?? []
  const inline = sliceTensors(headers, body)
  return new Map(
    headers.map(({ name, blob }) => {
      const bytes = Uint8Array.from((blob === undefined ? inline.get(name) : controlPlane.blobs.get(blob)) ?? [])
      return [name, new Float32Array(bytes.buffer)]
    })
  )
}
