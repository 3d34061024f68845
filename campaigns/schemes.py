"""Schemes of distillation and ways to begin, for the table of distill.py: each ends with the same student, trained for the
same steps at the same rate, and what it does beside that (an assistant, another teacher) is said in its line here. Each
function trains to `out` what is to be scored; `campaign` is distill.Campaign."""

KD = {"loss": "kd", "weight": 0.9}  # at temperature 4, beside 0.1 of the labels


def from_teacher(campaign, out, seed, *, start=None, teacher=None, more=()):
    campaign.distill(start or campaign.student, out, [KD], seed, "--teacher", teacher or campaign.teacher, *more)


def assistant(campaign, out, seed):
    """Mirzadeh et al. 2020: a student of four layers learns of the teacher, and teaches."""
    between = campaign.made(f"between-{seed}", lambda at: from_teacher(campaign, at, seed, start=campaign.carved(4)))
    from_teacher(campaign, out, seed, teacher=between)


def born_again(campaign, out, seed):
    """Furlanello et al. 2018, of the student's own size: who learned of labels alone teaches, at temperature 1."""
    before = campaign.made(f"labels-{seed}", lambda at: campaign.finetune(campaign.student, at, seed))
    campaign.distill(campaign.student, out, [{"loss": "kd", "weight": 0.5, "params": {"temperature": 1}}], seed, "--teacher",
                     before, "--label-weight", 0.5)


def several_teachers(campaign, out, seed):
    """The teacher and one of another seed; who gives the label the higher probability counts more."""
    other = campaign.made("other-teacher", lambda at: campaign.finetune_teacher(at, 2))
    from_teacher(campaign, out, seed, teacher=f"{campaign.teacher},{other}", more=("--gating", "confidence"))


def snapshots(campaign, out, seed):
    """Huang et al. 2017: the ends of three cosine cycles, an epoch each, of one fine-tuning of the teacher."""
    ends, start = [], campaign.args.base
    for cycle in (1, 2, 3):
        def one(at, start=start, cycle=cycle):
            campaign.finetune_teacher(at, cycle, start, 1, "--schedule", "cosine", "--warmup", 0.1 if cycle == 1 else 0)
        start = campaign.made(f"snapshot-{cycle}", one)
        ends.append(str(start))
    from_teacher(campaign, out, seed, teacher=",".join(ends))


def mutual(campaign, out, seed):
    """Zhang et al. 2018: two peers, no teacher; the better one on the dev set."""
    campaign.learn("mutual", campaign.student, out, seed, "--peers", 2)


def byot(campaign, out, seed):
    """Zhang et al. 2019: exits behind every layer learn of the deepest, no teacher; scored without leaving early."""
    campaign.learn("byot", campaign.student, out, seed)


def theseus(campaign, out, seed):
    """Xu et al. 2020: the layers take the places of the teacher's, embeddings and head frozen."""
    campaign.learn("theseus", campaign.student, out, seed, "--teacher", campaign.teacher)


def in_integers(campaign, out, seed):
    """kd's student after `penjing quantize`."""
    campaign.quantize(campaign.made(f"kd-{seed}", lambda at: from_teacher(campaign, at, seed)), out)


def quantize_aware(campaign, out, seed):
    """Training sees the integers in every step, and the result is scored in them."""
    from_teacher(campaign, out, seed, more=("--quantize-aware", "w8a8"))


def beginning(**options):
    def train(campaign, out, seed):
        from_teacher(campaign, out, seed, start=campaign.carved(3, **options))
    return train


SCHEMES = {
    "assistant": assistant, "born-again": born_again, "two-teachers": several_teachers, "snapshots": snapshots, "mutual": mutual,
    "byot": byot, "theseus": theseus, "kd-int8": in_integers, "kd-aware-int8": quantize_aware,
    # Where the student's layers come from (Sajjad et al. 2023, Fan et al. 2020).
    "kd-uniform": beginning(**{"from": "uniform"}), "kd-first": beginning(**{"from": "first"}), "kd-last": beginning(**{"from": "last"}),
    "kd-symmetric": beginning(**{"from": "symmetric"}), "kd-alternate": beginning(**{"from": "alternate"}),
    "kd-fresh": beginning(init="random"),
}
