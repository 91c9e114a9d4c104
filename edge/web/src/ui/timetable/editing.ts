import type { Day, LessonView } from '../../protocol';

/** What is to be changed by hand: a lesson, or a time at which there is none yet. */
export interface Editing {
  day: Day;
  period: number;
  lesson: LessonView | null;
}
