"""Search: which settings are tried (by Optuna), and how much of what is gained is noise."""

from __future__ import annotations

import math
import statistics
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bessemer.core import digest
from bessemer.core.block import Block
from bessemer.core.errors import OperatorError, ProjectError
from bessemer.core.progress import Progress, Step
from bessemer.core.project import Search
from bessemer.train.methods.base import Learnt, Lesson, Method
from bessemer.train.space import Value, distribution, is_range

if TYPE_CHECKING:
    import optuna

#: Trials that are drawn at random before the sampler learns from them, at most.
RANDOM = 10
#: A trial may end early once so many have run to their end, and after so many epochs.
PRUNE_AFTER, PRUNE_FROM = 3, 2
#: Under this name a study keeps of each trial what Optuna has no place for.
ATTEMPT = "attempt"


@dataclass(frozen=True)
class Order:
    """One training of a search."""

    #: `trial-3`, `seed-7`: also of its folder.
    name: str
    #: Values of the searched options.
    options: dict[str, Value]
    seed: int


@dataclass(frozen=True)
class Attempt:
    """What became of an order."""

    state: Literal["finished", "pruned", "failed"]
    seconds: float
    #: On validation, in nats, and the headline metric there; None unless it finished.
    log_loss: float | None = None
    score: float | None = None
    #: Why it failed.
    error: str = ""


#: Is told epoch and validation log-loss of an order and says whether it may go on.
Told = Callable[[int, float], bool]


class Trainer(ABC):
    """Carries out one order after the other."""

    @abstractmethod
    def train(self, order: Order, told: Told, progress: Progress) -> Attempt:
        """Carry out an order, or go on with it where a process that was killed left it."""

    @abstractmethod
    def stop(self) -> None:
        """End the order at work, from another thread."""


def attempt(method: Method, lesson: Lesson, options: Block, told: Told) -> Attempt:
    """Train and return what it came to; options that do not work are a failure."""
    import optuna

    began = time.monotonic()

    def tell(epoch: int, log_loss: float) -> None:
        if not math.isfinite(log_loss):
            raise OperatorError(f"The log-loss on validation is {log_loss:g} in epoch {epoch}.")
        if not told(epoch, log_loss):
            raise optuna.TrialPruned

    try:
        learnt = method.learn(replace(lesson, told=tell), options)
        if not math.isfinite(learnt.log_loss):
            raise OperatorError(f"The log-loss on validation is {learnt.log_loss:g}.")
        score = _score(lesson, learnt)
    except optuna.TrialPruned:
        return Attempt("pruned", time.monotonic() - began)
    except (OperatorError, ProjectError) as error:
        if type(error) not in (OperatorError, ProjectError):
            raise  # a full disk, a missing package: no fault of these options
        return Attempt("failed", time.monotonic() - began, error=error.message)
    return Attempt("finished", time.monotonic() - began, learnt.log_loss, score)


def _score(lesson: Lesson, learnt: Learnt) -> float:
    """Return the headline metric of trained weights on the validation split."""
    from bessemer.pretrained.encoder import Encoder
    from bessemer.train.cores import Cores
    from bessemer.train.curriculum import logits, scores
    from bessemer.train.network import Network

    encoder = Encoder(lesson.config, lesson.weights, pooled=lesson.task.pooled)
    if learnt.encoder is not None:
        encoder.transformer.load_state_dict(learnt.encoder)
    head = lesson.task.head(encoder.width)
    head.load_state_dict(learnt.head)
    network = Network(encoder, head).to(lesson.device)
    with Cores(lesson.device) as cores:
        return scores(lesson, logits(network, lesson.validation, cores))["score"]


class Finder:
    """Tries settings until there are enough, then trains the best one from other seeds.

    All that is known is in the study: what a killed process had finished counts, and what it had
    begun goes on under the same number. The draw of a trial depends on its number and on what is
    finished, so with one worker an interrupted search finds what an undisturbed one finds.

    Args:
        study: A study that only this process works on.
        search: With its space filled in.
        own: The values that the project has for the searched options without a search.
        seed: The project's.
        progress: Is told after every trial and while they run.
        forget: Removes what an order has left behind; the best trial's is kept.
    """

    def __init__(
        self,
        study: optuna.Study,
        search: Search,
        own: dict[str, Value],
        *,
        seed: int,
        progress: Progress,
        forget: Callable[[str], None],
    ) -> None:
        self._study, self._search, self._own, self._seed = study, search, own, seed
        self._progress, self._forget = progress, forget
        self._space = {name: distribution(values) for name, values in (search.space or {}).items()}
        self._done = sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, trainers: Sequence[Trainer]) -> dict[str, Any]:
        """Return the options found, all trials, the repeats and what is noise, as JSON values.

        Raises:
            OperatorError: Every trial failed.
        """
        self._share(self._trials(), trainers)
        trials = [self._told(trial) for trial in self._study.get_trials()]
        finished = [trial for trial in trials if trial["state"] == "finished"]
        if not finished:
            raise OperatorError(
                f"None of the {len(trials)} trials of the search gave a model. The first one:"
                f" {trials[0]['error']}",
                remedy="Lower the upper ends in train.search.space, learning_rate's first.",
            )
        best = min(finished, key=lambda trial: (trial["log_loss"], trial["number"]))
        self._share(self._repeats(best["options"]), trainers)
        repeats = [{"seed": self._seed, **{k: best[k] for k in ("log_loss", "score")}}]
        repeats += [
            {"seed": seed, **self._study.user_attrs[f"seed {seed}"]} for seed in self._seeds()
        ]
        return {
            "best": best["number"],
            "options": best["options"],
            "trials": trials,
            "repeats": repeats,
            "noise": noise(trials, best, repeats),
        }

    def _share(
        self, pieces: Iterator[Callable[[Trainer], None]], trainers: Sequence[Trainer]
    ) -> None:
        """Let every trainer take one piece of work after the other until there is none."""

        def work(trainer: Trainer) -> None:
            while not self._stopped:
                with self._lock:
                    piece = next(pieces, None)
                if piece is None:
                    return
                piece(trainer)

        if len(trainers) == 1:
            return work(trainers[0])
        with ThreadPoolExecutor(len(trainers)) as pool:
            try:
                for future in as_completed([pool.submit(work, one) for one in trainers]):
                    future.result()
            except BaseException:
                self._stopped = True
                for trainer in trainers:
                    trainer.stop()
                raise

    def _trials(self) -> Iterator[Callable[[Trainer], None]]:
        """Yield what is to be tried: first what was begun before, then what the sampler draws."""
        import optuna
        from optuna.trial import TrialState, create_trial

        if not self._study.get_trials(deepcopy=False):
            own = {n: v for n, v in self._own.items() if self._draws(n, v)}
            space = {name: self._space[name] for name in own}
            first = create_trial(state=TrialState.RUNNING, params=own, distributions=space)
            self._study.add_trial(first)
        for begun in self._study.get_trials(states=(TrialState.RUNNING,)):
            yield partial(self._try, optuna.trial.Trial(self._study, begun._trial_id))
        while (number := len(self._study.get_trials(deepcopy=False))) < self._search.trials:
            # Drawn aside and added whole: a process killed between two of a trial's values
            # would leave a setting that nobody drew.
            draft = optuna.create_study(sampler=self._sampler(number))
            draft.add_trials(self._study.get_trials(deepcopy=False))
            drawn = draft.ask(self._space).params
            whole = create_trial(state=TrialState.RUNNING, params=drawn, distributions=self._space)
            self._study.add_trial(whole)
            begun = self._study.get_trials(deepcopy=False)[number]
            yield partial(self._try, optuna.trial.Trial(self._study, begun._trial_id))

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return what draws a trial: its number and what is finished determine the draw."""
        import optuna

        return optuna.samplers.TPESampler(
            n_startup_trials=min(RANDOM, max(2, self._search.trials // 3)),
            seed=int(digest.of_json([self._seed, number])[:8], 16),
        )

    def _draws(self, name: str, value: Value) -> bool:
        """Return whether the sampler could draw a value, which the project's own need not be."""
        values = (self._search.space or {})[name]
        if not is_range(values):
            return value in values
        return isinstance(value, (int, float)) and values[0] <= value <= values[1]

    def _try(self, trial: optuna.Trial, trainer: Trainer) -> None:
        """Do a trial and write down what became of it."""
        from optuna.trial import TrialState

        number = trial.number
        known = self._study.get_trials(deepcopy=False)[number].intermediate_values

        def told(epoch: int, log_loss: float) -> bool:
            if epoch not in known:
                trial.report(log_loss, epoch)
            # The others are held against the first one.
            return number == 0 or not trial.should_prune()

        order = Order(f"trial-{number}", {**self._own, **trial.params}, self._seed)
        done = self._work(order, told, trainer)
        told_of = {"score": done.score, "seconds": round(done.seconds, 3), "error": done.error}
        trial.set_user_attr(ATTEMPT, told_of)
        states = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        state = states.get(done.state, TrialState.COMPLETE)
        self._study.tell(trial, done.log_loss, state=state)
        trials = [t for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()]
        self._done = len(trials)
        finished = [t for t in trials if t.state == TrialState.COMPLETE]
        best = min(finished, key=lambda t: (t.value, t.number), default=None)
        for other in trials:
            if other is not best:
                self._forget(f"trial-{other.number}")
        self._tell("" if best is None else f"best log-loss {best.value:.4f}")

    def _seeds(self) -> list[int]:
        return [(self._seed + n) % 2**32 for n in range(1, self._search.seeds)]

    def _repeats(self, options: dict[str, Value]) -> Iterator[Callable[[Trainer], None]]:
        for seed in self._seeds():
            if f"seed {seed}" not in self._study.user_attrs:
                yield partial(self._repeat, Order(f"seed-{seed}", options, seed))

    def _repeat(self, order: Order, trainer: Trainer) -> None:
        done = self._work(order, lambda epoch, log_loss: True, trainer)
        found = {"log_loss": done.log_loss, "score": done.score}
        self._study.set_user_attr(f"seed {order.seed}", found)
        self._forget(order.name)

    def _work(self, order: Order, told: Told, trainer: Trainer) -> Attempt:
        def progress(step: Step) -> None:
            self._tell(f"{order.name}: {step.what} {step.done}/{step.total} {step.note}".rstrip())

        return trainer.train(order, told, progress)

    def _tell(self, note: str) -> None:
        with self._lock:
            self._progress(Step("search", self._done, self._search.trials, "trials", note))

    def _told(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return a finished trial as JSON values; the log-loss of a pruned one is its last."""
        states = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
        return {
            "number": trial.number,
            "options": {**self._own, **trial.params},
            "state": states[trial.state.name],
            "log_loss": trial.value,
            **trial.user_attrs[ATTEMPT],
        }


def noise(
    trials: Sequence[dict[str, Any]], best: dict[str, Any], repeats: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return how far the best trial leads, and how far seeds alone move it.

    The best of n equal trials leads by chance: by its expected place among n draws from a normal
    distribution (Blom 1958), times the standard deviation over seeds.

    Args:
        trials: All of them; the first is the project's own setting.
        best: The one that won.
        repeats: The winner's trainings from each seed, the one that won included.

    Returns:
        Leads, standard deviations and chance in nats, or None where they were not measured;
        "told" says it in a sentence.
    """
    losses = sorted(trial["log_loss"] for trial in trials if trial["state"] == "finished")
    spread = {
        name: statistics.stdev(values) if len(values) > 1 else None
        for name in ("log_loss", "score")
        for values in [[r[name] for r in repeats if r[name] is not None]]
    }
    tried = sum(trial["state"] != "failed" for trial in trials)
    deviation, chance = spread["log_loss"], None
    if deviation is not None:
        chance = deviation * statistics.NormalDist().inv_cdf((tried - 0.375) / (tried + 0.25))
    own = trials[0]["log_loss"] if trials[0]["state"] == "finished" else None
    lead = None if own is None else own - best["log_loss"]
    return {
        "log_loss_deviation": deviation,
        "score_deviation": spread["score"],
        "lead_on_own": lead,
        "lead_on_second": losses[1] - losses[0] if len(losses) > 1 else None,
        "lead_on_median": statistics.median(losses) - losses[0],
        "chance": chance,
        "told": _sentence(len(trials), best, lead, deviation, chance),
    }


def _sentence(
    count: int,
    best: dict[str, Any],
    lead: float | None,
    deviation: float | None,
    chance: float | None,
) -> str:
    if best["number"] == 0:
        return f"none of {count} trials is better than the project's own options"
    if lead is None:
        return f"the best of {count} trials is {best['number']}; the project's own options failed"
    told = f"the best of {count} trials is {lead:.4f} nats better than the project's own options"
    if deviation is None or chance is None:
        return f"{told}; how much of that is noise was not measured (train.search.seeds)"
    verdict = "more than noise" if lead > chance else "no more than noise"
    return (
        f"{told}; seeds alone move it by ±{deviation:.4f}, so that the best of as many equal ones"
        f" would seem {chance:.4f} better: this is {verdict}"
    )
