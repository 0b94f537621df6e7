import type { Static } from 'typebox'
import { BenchmarkResult } from './benchmarks.ts'
import { ConfigReport, type DeviceConfig } from './device-config.ts'
import { Capability, DeviceFacts, DeviceHealth, PlacementState, Slots } from './devices.ts'
import { DiagnosticsFrame } from './diagnostics.ts'
import { JobError, JobProgress } from './jobs.ts'
import { ConversionResult, DataSet, Manifest, Preprocessing, SourceFormat, Tolerance, VariantRecipe } from './models.ts'
import { RuntimeName } from './runtimes.ts'
import { Id, Labels, Name, Sha256 } from './schema.ts'
import { Datatype, TensorHeader } from './tensors.ts'
import { Type } from './type.ts'

/**
 * The protocol between a device's agent and the control plane, subprotocol `skerry.v1`.
 *
 *   agent                              control plane
 *     |  GET /agent/v1 (upgrade)  ------->  |
 *     |  <-------------------- challenge    |   a nonce
 *     |  hello  -------------------------->  |   signed nonce, facts, what it still holds
 *     |  <---------------------- welcome    |   session epoch, token for HTTP
 *     |  <---------------------- desired    |   what should be loaded; again whenever it changes
 *     |  placement, heartbeat, latency --->  |
 *     |  <----------------------- assign    |   a job, with its epoch
 *     |  progress, result --------------->  |
 *     |  <-------------------------- ack    |   accepted, stale or unknown: the agent may forget the result
 */
export const SUBPROTOCOL = 'skerry.v1'
export const MAX_FRAME_BYTES = 1_048_576
export const HEARTBEAT_MS = 10_000
/** Frames that came after the first version of the protocol; a control plane names those that it takes. */
export const CONTROL_PLANE_FEATURES = ['benchmark'] as const
export const PING_MS = 5_000
export const OFFLINE_AFTER_MS = 25_000
export const INFERENCE_LEASE_MS = 15_000
export const CONVERSION_LEASE_MS = 120_000

/** What the device signs with its Ed25519 key to open a session. */
export const challengeText = (nonce: string, deviceId: string): string => `${SUBPROTOCOL}\n${nonce}\n${deviceId}`

export const EnrolRequest = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 200 }),
    name: Type.Optional(Name),
    publicKey: Type.String({ description: 'Ed25519, SPKI DER, base64', maxLength: 200 }),
    labels: Type.Optional(Labels),
    capabilities: Type.Array(Capability, { minItems: 1 }),
    slots: Slots,
    facts: DeviceFacts
  },
  { additionalProperties: false }
)
export type EnrolRequest = Static<typeof EnrolRequest>
export const EnrolAnswer = Type.Object({
  deviceId: Id,
  name: Type.String(),
  controlPlanePublicKey: Type.String({ description: 'Ed25519, SPKI DER, base64: signs manifests' })
})
export type EnrolAnswer = Static<typeof EnrolAnswer>

export const JobRef = Type.Object({ jobId: Id, epoch: Type.Integer({ minimum: 1 }) })
export type JobRef = Static<typeof JobRef>

export const HelloFrame = Type.Object({
  type: Type.Literal('hello'),
  deviceId: Id,
  signature: Type.String({ maxLength: 200 }),
  capabilities: Type.Array(Capability),
  slots: Slots,
  facts: DeviceFacts,
  holding: Type.Array(JobRef, { description: 'jobs running here, and results not yet acknowledged' })
})
/** Within a session, after a configuration changed what the hello said. */
export const FactsFrame = Type.Object({ type: Type.Literal('facts'), slots: Slots, facts: DeviceFacts })
/** The answer to each `config`. */
export const ConfigReportFrame = Type.Object({ type: Type.Literal('config-report'), ...ConfigReport.properties })
export const HeartbeatFrame = Type.Object({ type: Type.Literal('heartbeat'), health: DeviceHealth })
/** Counts since the last acknowledged frame; `seq` grows for ever on a device, so that a frame counts once. */
export const LatencyFrame = Type.Object({
  type: Type.Literal('latency'),
  seq: Type.Integer({ minimum: 1 }),
  series: Type.Array(
    Type.Object({ artifact: Sha256, deployment: Type.String(), runtime: RuntimeName, histogram: Type.Unknown() }),
    { maxItems: 256 }
  )
})
/**
 * What a deployed artifact takes on the device, which measured it unasked: once per `id`, and sent again until it is
 * acknowledged. Only to a control plane whose welcome says that it understands `benchmark`.
 */
export const BenchmarkFrame = Type.Object({ type: Type.Literal('benchmark'), id: Id, benchmark: BenchmarkResult })
export const PlacementFrame = Type.Object({
  type: Type.Literal('placement'),
  deployment: Name,
  artifact: Sha256,
  state: PlacementState,
  reason: Type.Optional(Type.String({ maxLength: 4000 })),
  loadMs: Type.Optional(Type.Number())
})
export const ProgressFrame = Type.Object({
  type: Type.Literal('progress'),
  jobId: Id,
  epoch: Type.Integer(),
  progress: JobProgress
})
export const DeviceTimings = Type.Object({
  deviceMs: Type.Number(),
  inferenceMs: Type.Number(),
  quantizeMs: Type.Number(),
  dequantizeMs: Type.Number()
})
export type DeviceTimings = Static<typeof DeviceTimings>
/** A tensor that lies in the frame's body, or in a blob when `blob` is set. */
export const FrameTensor = Type.Intersect([TensorHeader, Type.Object({ blob: Type.Optional(Sha256) })])
export type FrameTensor = Static<typeof FrameTensor>
export const ResultFrame = Type.Object({
  type: Type.Literal('result'),
  jobId: Id,
  epoch: Type.Integer(),
  runtime: Type.Optional(RuntimeName),
  timings: Type.Optional(DeviceTimings),
  outputs: Type.Optional(Type.Array(FrameTensor)),
  conversion: Type.Optional(ConversionResult),
  benchmark: Type.Optional(BenchmarkResult),
  error: Type.Optional(
    Type.Intersect([JobError, Type.Object({ retryable: Type.Boolean(), killedRuntime: Type.Optional(Type.Boolean()) })])
  )
})
export type ResultFrame = Static<typeof ResultFrame>

export const AgentFrame = Type.Union([
  HelloFrame,
  FactsFrame,
  ConfigReportFrame,
  DiagnosticsFrame,
  HeartbeatFrame,
  LatencyFrame,
  BenchmarkFrame,
  PlacementFrame,
  ProgressFrame,
  ResultFrame
])
export type AgentFrame = Static<typeof AgentFrame>

export const DesiredArtifact = Type.Object({
  deployment: Name,
  artifact: Sha256,
  runtime: RuntimeName,
  manifest: Manifest,
  signature: Type.String()
})
export type DesiredArtifact = Static<typeof DesiredArtifact>

export const AssignInference = Type.Object({
  kind: Type.Literal('inference'),
  deployment: Name,
  artifact: Sha256,
  inputs: Type.Array(FrameTensor),
  outputs: Type.Array(Type.Object({ name: Type.String(), datatype: Datatype })),
  inlineBytes: Type.Optional(
    Type.Integer({
      minimum: 0,
      description:
        'somebody waits for the result: outputs of up to so many bytes each come with it; else of up to 16 KiB'
    })
  )
})
export const AssignConversion = Type.Object({
  kind: Type.Literal('conversion'),
  source: Type.Object({ sha256: Sha256, bytes: Type.Integer(), format: SourceFormat }),
  variants: Type.Array(VariantRecipe),
  calibration: Type.Optional(DataSet),
  evaluation: Type.Optional(DataSet),
  preprocessing: Type.Optional(Preprocessing),
  labels: Type.Optional(Type.Array(Type.String())),
  signature: Type.Optional(Type.String()),
  tolerance: Type.Optional(Tolerance),
  propose: Type.Optional(Type.Boolean()),
  /** By converter stamp (DeviceFacts): results of one recipe each that the same converter gave before. */
  known: Type.Optional(Type.Record(Type.String(), Type.Array(ConversionResult))),
  timeLimitMs: Type.Integer()
})
export const AssignBenchmark = Type.Object({
  kind: Type.Literal('benchmark'),
  artifact: Sha256,
  runtime: RuntimeName,
  manifest: Manifest,
  signature: Type.String(),
  warmupRuns: Type.Integer(),
  runs: Type.Integer()
})
export const Assignment = Type.Union([AssignInference, AssignConversion, AssignBenchmark])
export type Assignment = Static<typeof Assignment>

export type ControlFrame =
  | { type: 'challenge'; nonce: string }
  | {
      type: 'welcome'
      session: number
      httpToken: string
      heartbeatMs: number
      controlPlanePublicKey: string
      understands?: string[]
    }
  | { type: 'config'; revision: number; config: DeviceConfig }
  | { type: 'diagnose'; id: string }
  | { type: 'rotate-key' }
  | { type: 'desired'; artifacts: DesiredArtifact[] }
  | { type: 'assign'; jobId: string; epoch: number; work: Assignment }
  | { type: 'cancel'; jobId: string; epoch: number }
  | { type: 'ack'; jobId: string; epoch: number; status: 'accepted' | 'stale' | 'unknown' }
  | { type: 'latency-ack'; seq: number }
  | { type: 'benchmark-ack'; id: string }
  | { type: 'refused'; code: string; detail: string }

/**
 * A frame without a body travels as a text message, one with a body as a binary message:
 * header length (uint32, little-endian), the header as UTF-8 JSON, the body.
 */
export function encodeFrame(header: AgentFrame | ControlFrame, body?: readonly Uint8Array[]): string | Uint8Array {
  const json = JSON.stringify(header)
  if (body === undefined || body.length === 0) return json
  const head = new TextEncoder().encode(json)
  const bodyBytes = body.reduce((sum, part) => sum + part.byteLength, 0)
  const frame = new Uint8Array(4 + head.byteLength + bodyBytes)
  new DataView(frame.buffer).setUint32(0, head.byteLength, true)
  frame.set(head, 4)
  let at = 4 + head.byteLength
  for (const part of body) {
    frame.set(part, at)
    at += part.byteLength
  }
  return frame
}

export type DecodedFrame = { header: unknown; body: Uint8Array }

/** Throws a plain Error on anything that is not a frame; the header is not yet checked against a schema. */
export function decodeFrame(data: Uint8Array, isBinary: boolean): DecodedFrame {
  if (!isBinary) return { header: JSON.parse(new TextDecoder().decode(data)), body: new Uint8Array(0) }
  if (data.byteLength < 4) throw new Error('a binary frame starts with the length of its header')
  const headerBytes = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true)
  if (4 + headerBytes > data.byteLength) throw new Error('the header is longer than the frame')
  return {
    header: JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + headerBytes))),
    body: data.subarray(4 + headerBytes)
  }
}

/** Cuts a body into the tensors that its headers name, in order; tensors that are blobs take no room in it. */
export function sliceTensors(tensors: readonly FrameTensor[], body: Uint8Array): Map<string, Uint8Array> {
  const parts = new Map<string, Uint8Array>()
  let at = 0
  for (const tensor of tensors) {
    if (tensor.blob !== undefined) continue
    if (at + tensor.bytes > body.byteLength) throw new Error(`the body ends inside tensor ${tensor.name}`)
    parts.set(tensor.name, body.subarray(at, at + tensor.bytes))
    at += tensor.bytes
  }
  return parts
}
