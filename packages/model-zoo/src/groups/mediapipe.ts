import { npmFile, npmVersion } from '../npm-packages.ts'
import { type PictureData, pictureData, signed, unit } from '../picture-data.ts'
import { unproven, type ZooModel } from '../zoo-model.ts'

type PackageName = 'face_detection' | 'hands' | 'pose' | 'selfie_segmentation'

/** Ready .tflite files: they pass through as they are, and are run and described. */
function model(
  packageName: PackageName,
  file: string,
  size: readonly [height: number, width: number],
  range: Pick<PictureData, 'scale' | 'offset'>,
  input = 'input_1'
): ZooModel {
  return {
    name: `mediapipe-${file.replaceAll('_', '-')}`,
    group: 'ready .tflite',
    origin: `npm @mediapipe/${packageName}@${npmVersion(`@mediapipe/${packageName}`)}`,
    license: 'Apache-2.0',
    expectations: { original: unproven(/no original to compare it with/) },
    async prepare(context) {
      const shape = { height: size[0], width: size[1], channels: 3 } as const
      const data = { kind: 'both', input, ...shape, ...range, calibration: 4 } as const
      const { evaluationPath } = await pictureData(context, data)
      return { sourcePath: npmFile(`@mediapipe/${packageName}`, `${file}.tflite`), format: 'tflite', evaluationPath }
    }
  }
}

export const mediapipeModels: readonly ZooModel[] = [
  model('face_detection', 'face_detection_short_range', [128, 128], signed, 'input'),
  model('face_detection', 'face_detection_full_range', [192, 192], signed, 'input'),
  model('face_detection', 'face_detection_full_range_sparse', [192, 192], signed),
  model('hands', 'hand_landmark_lite', [224, 224], unit),
  model('hands', 'hand_landmark_full', [224, 224], unit),
  model('pose', 'pose_landmark_lite', [256, 256], unit),
  model('pose', 'pose_landmark_full', [256, 256], unit),
  model('selfie_segmentation', 'selfie_segmentation', [256, 256], unit),
  model('selfie_segmentation', 'selfie_segmentation_landscape', [144, 256], unit)
]
