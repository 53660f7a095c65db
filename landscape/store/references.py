"""The papers behind the measures: one table, from which reports take their text and ``ls.citations`` its BibTeX."""

from __future__ import annotations

from dataclasses import dataclass

_BOOK, _ARTICLE, _TALK = "book", "article", "inproceedings"
_PREPRINT = "arXiv:"
_MATRIX, _SCIENTIFIC = "SIAM J. Matrix Anal. Appl.", "SIAM J. Sci. Comput."


@dataclass(frozen=True)
class Reference:
    """One paper.

    Attributes
    ----------
    authors : str
        ``"Family, Given and Family, Given"``, as BibTeX has them.
    title : str
        Braces keep capitals.
    venue : str
        Journal, conference or publisher.
    issue : str
        ``"22(2)"``: volume and number, of a journal.
    """

    kind: str
    authors: str
    year: int
    title: str
    venue: str
    issue: str = ""

    @property
    def families(self) -> tuple[str, ...]:
        """The authors' family names."""
        return tuple(author.partition(",")[0] for author in self.authors.split(" and "))

    @property
    def text(self) -> str:
        """``Wu, Simon (2000). Thick-restart Lanczos … SIAM J. Matrix Anal. Appl. 22(2).``"""
        title = self.title.replace("{", "").replace("}", "")
        venue = f"{self.venue} {self.issue}".rstrip()
        return f"{', '.join(self.families)} ({self.year}). {title}. {venue}" + ("" if venue.endswith(".") else ".")

    def bibtex(self, key: str) -> str:
        """The entry of this key."""
        place = {_BOOK: "publisher", _ARTICLE: "journal", _TALK: "booktitle"}[self.kind]
        fields = {"author": self.authors, "title": self.title, "year": str(self.year), place: self.venue}
        volume, _, number = self.issue.rstrip(")").partition("(")
        fields |= {"volume": volume, "number": number}
        if self.venue.startswith(_PREPRINT):
            identifier = self.venue.removeprefix(_PREPRINT)
            fields |= {place: f"arXiv preprint {self.venue}", "eprint": identifier, "archiveprefix": "arXiv"}
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{self.kind}{{{key},", *lines, "}"])


def _paper(authors: str, year: int, title: str, journal: str, issue: str = "") -> Reference:
    return Reference(_ARTICLE, authors, year, title, journal, issue)


def _talk(authors: str, year: int, title: str, conference: str) -> Reference:
    return Reference(_TALK, authors, year, title, conference)


def _book(authors: str, year: int, title: str, publisher: str) -> Reference:
    return Reference(_BOOK, authors, year, title, publisher)


REFERENCES = {
    "pearlmutter": _paper("Pearlmutter, Barak A.", 1994, "Fast exact multiplication by the {Hessian}",
                          "Neural Computation", "6(1)"),
    "wu": _paper("Wu, Kesheng and Simon, Horst", 2000,
                 "Thick-restart {Lanczos} method for large symmetric eigenvalue problems", _MATRIX, "22(2)"),
    "parlett": _book("Parlett, Beresford N.", 1998, "The Symmetric Eigenvalue Problem", "SIAM"),
    "knyazev": _paper("Knyazev, Andrew V.", 2001, "Toward the optimal preconditioned eigensolver: locally optimal "
                      "block preconditioned conjugate gradient method", _SCIENTIFIC, "23(2)"),
    "sleijpen": _paper("Sleijpen, Gerard L. G. and van der Vorst, Henk A.", 1996,
                       "A {Jacobi-Davidson} iteration method for linear eigenvalue problems", _MATRIX, "17(2)"),
    "hutchinson": _paper("Hutchinson, M. F.", 1990, "A stochastic estimator of the trace of the influence matrix for "
                         "{Laplacian} smoothing splines", "Commun. Stat. Simul. Comput.", "19(2)"),
    "gambhir": _paper("Gambhir, Arjun Singh and Stathopoulos, Andreas and Orginos, Kostas", 2017, "Deflation as a "
                      "method of variance reduction for estimating the trace of a matrix inverse", _SCIENTIFIC,
                      "39(2)"),
    "meyer": _talk("Meyer, Raphael A. and Musco, Cameron and Musco, Christopher and Woodruff, David P.", 2021,
                   "{Hutch++}: optimal stochastic trace estimation", "SOSA"),
    "epperly": _paper("Epperly, Ethan N. and Tropp, Joel A. and Webber, Robert J.", 2024, "{XTrace}: making the most "
                      "of every sample in stochastic trace estimation", _MATRIX, "45(1)"),
    "bekas": _paper("Bekas, Costas and Kokiopoulou, Effrosyni and Saad, Yousef", 2007,
                    "An estimator for the diagonal of a matrix", "Appl. Numer. Math.", "57"),
    "ubaru": _paper("Ubaru, Shashanka and Chen, Jie and Saad, Yousef", 2017,
                    "Fast estimation of {tr(f(A))} via stochastic {Lanczos} quadrature", _MATRIX, "38(4)"),
    "ghorbani": _talk("Ghorbani, Behrooz and Krishnan, Shankar and Xiao, Ying", 2019,
                      "An investigation into neural net optimization via {Hessian} eigenvalue density", "ICML"),
    "golub": _book("Golub, Gene H. and Meurant, Gérard", 2010,
                   "Matrices, Moments and Quadrature with Applications", "Princeton"),
    "bjorck": _paper("Björck, Åke and Golub, Gene H.", 1973,
                     "Numerical methods for computing angles between linear subspaces", "Math. Comp.", "27(123)"),
    "papyan": _paper("Papyan, Vardan", 2020, "Traces of class/cross-class structure pervade deep learning spectra",
                     "JMLR", "21"),
    "li": _talk("Li, Hao and Xu, Zheng and Taylor, Gavin and Studer, Christoph and Goldstein, Tom", 2018,
                "Visualizing the loss landscape of neural nets", "NeurIPS"),
    "antognini": _talk("Antognini, Joseph and Sohl-Dickstein, Jascha", 2018,
                       "{PCA} of high dimensional random walks with comparison to neural network training",
                       "NeurIPS"),
    "garipov": _talk("Garipov, Timur and Izmailov, Pavel and Podoprikhin, Dmitrii and Vetrov, Dmitry and Wilson, "
                     "Andrew Gordon", 2018, "Loss surfaces, mode connectivity, and fast ensembling of {DNNs}",
                     "NeurIPS"),
    "foret": _talk("Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam", 2021,
                   "Sharpness-aware minimization for efficiently improving generalization", "ICLR"),
    "kwon": _talk("Kwon, Jungmin and Kim, Jeongseop and Park, Hyunseo and Choi, In Kwon", 2021, "{ASAM}: adaptive "
                  "sharpness-aware minimization for scale-invariant learning of deep neural networks", "ICML"),
    "andriushchenko": _talk("Andriushchenko, Maksym and Croce, Francesco and Müller, Maximilian and Hein, Matthias and "
                            "Flammarion, Nicolas", 2023,
                            "A modern look at the relationship between sharpness and generalization", "ICML"),
    "keskar": _talk("Keskar, Nitish Shirish and Mudigere, Dheevatsa and Nocedal, Jorge and Smelyanskiy, Mikhail and "
                    "Tang, Ping Tak Peter", 2017,
                    "On large-batch training for deep learning: generalization gap and sharp minima", "ICLR"),
    "petzka": _talk("Petzka, Henning and Kamp, Michael and Adilova, Linara and Sminchisescu, Cristian and Boley, Mario",
                    2021, "Relative flatness and generalization", "NeurIPS"),
    "liang": _talk("Liang, Tengyuan and Poggio, Tomaso and Rakhlin, Alexander and Stokes, James", 2019,
                   "{Fisher-Rao} metric, geometry, and complexity of neural networks", "AISTATS"),
    "jiang": _talk("Jiang, Yiding and Neyshabur, Behnam and Mobahi, Hossein and Krishnan, Dilip and Bengio, Samy", 2020,
                   "Fantastic generalization measures and where to find them", "ICLR"),
    "dziugaite": _talk("Dziugaite, Gintare Karolina and Drouin, Alexandre and Neal, Brady and Rajkumar, Nitarshan and "
                       "Caballero, Ethan and Wang, Linbo and Mitliagkas, Ioannis and Roy, Daniel", 2020,
                       "In search of robust measures of generalization", "NeurIPS"),
    "lau": _paper("Lau, Edmund and Furman, Zach and Wang, George and Murfet, Daniel and Wei, Susan", 2023,
                  "The local learning coefficient: a singularity-aware complexity measure", "arXiv:2308.12108"),
    "leimkuhler": _paper("Leimkuhler, Benedict and Matthews, Charles", 2013,
                         "Rational construction of stochastic numerical methods for molecular sampling",
                         "Appl. Math. Res. Express", "2013(1)"),
    "baker": _paper("Baker, Jack and Fearnhead, Paul and Fox, Emily B. and Nemeth, Christopher", 2019,
                    "Control variates for stochastic gradient {MCMC}", "Statistics and Computing", "29"),
    "vehtari": _paper("Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and "
                      "Bürkner, Paul-Christian", 2021,
                      "Rank-normalization, folding, and localization: an improved {R̂} for assessing convergence "
                      "of {MCMC}", "Bayesian Analysis", "16(2)"),
    "dinh": _talk("Dinh, Laurent and Pascanu, Razvan and Bengio, Samy and Bengio, Yoshua", 2017,
                  "Sharp minima can generalize for deep nets", "ICML"),
    "frankle": _talk("Frankle, Jonathan and Dziugaite, Gintare Karolina and Roy, Daniel and Carbin, Michael", 2020,
                     "Linear mode connectivity and the lottery ticket hypothesis", "ICML"),
    "wortsman": _talk("Wortsman, Mitchell and Ilharco, Gabriel and Gadre, Samir Yitzhak and Roelofs, Rebecca and "
                      "Gontijo-Lopes, Raphael and Morcos, Ari S. and Namkoong, Hongseok and Farhadi, Ali and Carmon, "
                      "Yair and Kornblith, Simon and Schmidt, Ludwig", 2022, "Model soups: averaging weights of "
                      "multiple fine-tuned models improves accuracy without increasing inference time", "ICML"),
    "fort": _paper("Fort, Stanislav and Hu, Huiyi and Lakshminarayanan, Balaji", 2019,
                   "Deep ensembles: a loss landscape perspective", "arXiv:1912.02757"),
    "mccandlish": _paper("McCandlish, Sam and Kaplan, Jared and Amodei, Dario", 2018,
                         "An empirical model of large-batch training", "arXiv:1812.06162"),
    "gurari": _paper("Gur-Ari, Guy and Roberts, Daniel A. and Dyer, Ethan", 2018,
                     "Gradient descent happens in a tiny subspace", "arXiv:1812.04754"),
    "hairer": _book("Hairer, Ernst and Wanner, Gerhard", 1996, "Solving Ordinary Differential Equations {II}",
                    "Springer"),
    "ainsworth": _talk("Ainsworth, Samuel K. and Hayase, Jonathan and Srinivasa, Siddhartha", 2023,
                       "Git re-basin: merging models modulo permutation symmetries", "ICLR"),
    "convergent": _talk("Li, Yixuan and Yosinski, Jason and Clune, Jeff and Lipson, Hod and Hopcroft, John", 2015,
                        "Convergent learning: do different neural networks learn the same representations?",
                        "Feature Extraction: Modern Questions and Challenges, NIPS workshop"),
    "jordan": _talk("Jordan, Keller and Sedghi, Hanie and Saukh, Olga and Entezari, Rahim and Neyshabur, Behnam", 2023,
                    "{REPAIR}: renormalizing permuted activations for interpolation repair", "ICLR"),
    "nesterov": _book("Nesterov, Yurii", 2004, "Introductory Lectures on Convex Optimization", "Kluwer"),
    "cohen": _talk("Cohen, Jeremy M. and Kaur, Simran and Li, Yuanzhi and Kolter, J. Zico and Talwalkar, Ameet", 2021,
                   "Gradient descent on neural networks typically occurs at the edge of stability", "ICLR"),
    "adaptive": _paper("Cohen, Jeremy M. and Ghorbani, Behrooz and Krishnan, Shankar and Agarwal, Naman and Medapati, "
                       "Sourabh and Badura, Michal and Suo, Daniel and Cardoze, David and Nado, Zachary and Dahl, "
                       "George E. and Gilmer, Justin", 2022, "Adaptive gradient methods at the edge of stability",
                       "arXiv:2207.14484"),
    "islamov": _paper("Islamov, Rustem and Crawshaw, Michael and Cohen, Jeremy and Gower, Robert", 2026,
                      "Non-{Euclidean} gradient descent operates at the edge of stability", "arXiv:2603.05002"),
    "kalra": _paper("Kalra, Dayal Singh and Gagnon-Audet, Jean-Christophe and Gromov, Andrey and Mediratta, Ishita and "
                    "Niu, Kelvin and Miller, Alexander H. and Shvartsman, Michael", 2026, "A scalable measure of loss "
                    "landscape curvature for analyzing the training dynamics of {LLMs}", "arXiv:2601.16979"),
    "andreyev": _paper("Andreyev, Arseniy and Beneventano, Pierfrancesco", 2024, "Edge of stochastic stability: "
                       "revisiting the edge of stability for {SGD}", "arXiv:2412.20553"),
    "pan": _paper("Pan, Yan and Li, Yuanzhi", 2023, "Toward understanding why {Adam} converges faster than {SGD} for "
                  "transformers", "arXiv:2306.00204"),
    "edelsbrunner": _paper("Edelsbrunner, Herbert and Letscher, David and Zomorodian, Afra", 2002, "Topological "
                           "persistence and simplification", "Discrete Comput. Geom.", "28(4)"),
    "cohen-steiner": _paper("Cohen-Steiner, David and Edelsbrunner, Herbert and Harer, John", 2007,
                            "Stability of persistence diagrams", "Discrete Comput. Geom.", "37(1)"),
    "geniesse": _paper("Geniesse, Caleb and Chen, Jiaqing and Xie, Tiankai and Shi, Ge and Yang, Yaoqing and Morozov, "
                       "Dmitriy and Perciano, Talita and Mahoney, Michael W. and Maciejewski, Ross and Weber, "
                       "Gunther H.", 2024, "Visualizing loss functions as topological landscape profiles",
                       "arXiv:2411.12136"),
}  # fmt: skip
