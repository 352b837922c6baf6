"""What the experiment of competition says of its numbers, and how it came by them."""

from typing import Final

import pyarrow as pa

from lab.bidding import TAKING
from lab.ledger import TARIFFS
from lab.rivals import FLAT, LOTS, posted, read
from lab.shown import BEST, CENT, Found, cents, middle
from lab.statistics import Interval
from lab.tape import MOST_BUYERS
from lab.wording import more


def said(table: pa.Table) -> str:
    """The finding, from the numbers; why it is so, where there is one."""
    found = read(table)
    gained = found["english", "split", 2, "fixed"].over(found["english", "split", 1, "fixed"])
    pure = found["vickrey", "split", 2, BEST].over(found[posted(BEST)])
    why = (_knowledge(found, gained, pure), _others(found, gained)) if gained.above_zero else ()
    return "\n\n".join([_hypothesis(gained, pure), *why, _taking(found)])


def _hypothesis(gained: Interval, pure: Interval) -> str:
    held = "holds" if gained.above_zero else "does not hold"
    return f"""The hypothesis {held} on these days: with the same demand split between two aggregators instead of one, an english
auction earns the owner {cents(gained)} more per kWh offered where the reserve is feed-in and wear, and a vickrey auction
{cents(pure)} more where the owner already asks the best price that it could of one. What competition is worth lies between these
two, by how much the owner knows. The intervals are for these two days' prices, over margins drawn anew; over days see
*Competition over synthetic years*."""


def _knowledge(found: Found, gained: Interval, pure: Interval) -> str:
    one, two = (found["english", "split", buyers, "fixed"] for buyers in (1, 2))
    best, flat = (found[posted(reserve)] for reserve in (BEST, FLAT))
    much = "Most" if 2 * pure.estimate < gained.estimate else "Less than half"
    return f"""{much} of the first number, {1 - pure.estimate / gained.estimate:.0%}, is what the owner does not know. Buyers know what
a half-hour is worth and a reserve of {TARIFFS.base / CENT:.2f} c does not: alone, a buyer pays just that in the dearest hour too
({middle(one)} c earned per kWh offered), and two bid each other up to what they both know ({middle(two)} c). An owner who knew each
half-hour's price and the range of the margins and named its best price to a single buyer would earn {middle(best)} c, and one who
could only name one price for all hours, the best in hindsight, {middle(flat)} c."""


def _others(found: Found, gained: Interval) -> str:
    one, two, ten = (found["english", "split", buyers, "fixed"] for buyers in (1, 2, MOST_BUYERS))
    added = found["english", "added", MOST_BUYERS, "fixed"].over(two)
    return f"""The second aggregator makes {gained.estimate / ten.over(one).estimate:.0%} of the difference that ten make: ten with
that same demand earn {more(ten.over(two))} than two, and ten who each bring a demand of their own {more(added)}. That is for buyers
who all together want {LOTS}, so that two each want it whole; with less demand the second brings less (see *When competition does
not pay*)."""


def _taking(found: Found) -> str:
    random, asked = (found[play, "split", 2, "fixed"] for play in reversed(TAKING))
    taken = found[TAKING[1], "split", MOST_BUYERS, "fixed"].over(random)
    return f"""Taking the first bid above the reserve earns {middle(asked)} c when buyers answer it well: they all bid the reserve, so that
it earns what feeding in does ({TARIFFS.feed_in / CENT:.2f} c). If they bid at random between reserve and value, it earns
{middle(random)} c with two buyers, and with ten {more(taken)}."""


METHOD: Final = f"""A *tape* holds lots, values, and when who hears of them, never bids: the two recorded days (100 half-hours, Agile
tariff, May 2020), the lots of a home's battery, and margins of 0 to 15 % drawn independently per buyer and lot. Every
way of selling plays the same tape; whoever buys, the same energy is offered, and income is (paid − wear × sold +
feed-in × unsold) / offered, with {TARIFFS.feed_in / CENT:.2f} c/kWh feed-in, {TARIFFS.wear / CENT:.2f} c/kWh wear,
and their sum as the reserve. What is not sold in its half-hour is fed in.

*Split*: all buyers together want {LOTS}, however many they are. *Added*: each wants the whole lot. Winners and
prices are decided by `market`, bids are made by the shipped strategies up to a limit that is the mechanism's
equilibrium (`lab/bidding.py`: Vickrey 1961; Weber 1983; Krishna, *Auction Theory*, ch. 2 and 15), which supposes that
buyers know how many they are and how margins are spread. One case has no closed form: with demand split among 3, 5, 7
or 9 buyers, whoever wins the last part of a uniform lot sets the price itself and would do better to bid less than its
value, or to ask for less than it wants (*What the mechanisms do to those who use them*). Values are bid all the same (hollow markers,
* in the table), which flatters uniform there.

*Efficiency* is the welfare of the sales above what the energy is worth to its owner, as a share of the best possible allocation of the
same demand to the same buyers.

Some checks hold by construction, and test the machinery: one buyer bids what is asked, so that alone it pays the plain reserve and the
owner has the feed-in tariff; so has it where the first bid above the reserve is taken and buyers answer it best. That two earn more
than one *with the plain reserve* can then hardly fail. What could fail is the same comparison with the best price per lot as the
reserve, that against one buyer at a posted price, the equality of the auctions, and efficiency.

Intervals are 95 % BCa bootstraps over drawings of the margins; differences are taken on the same tape first (Efron &
Tibshirani, 1993). They say how sure the numbers are *for these two days*, which are as they were; the experiment `years` draws days
as well. The finding claims that *all* these checks hold, so that testing many of them makes it harder and not easier to claim
(intersection-union: Berger 1982), and nothing is corrected for their number."""
