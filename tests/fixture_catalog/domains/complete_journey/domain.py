"""A year of grocery shopping: dunnhumby's "The Complete Journey", all of 2017.

Here: what the upstream systems deliver, the contract their rows keep, and the mapped tables (one .sql each beside this
file). Not here: what a model makes of it (use_cases/), or how the demo lands the files (serving_assets/demo/).
"""

from __future__ import annotations

from datetime import date

from serving_assets.catalog.columns import AtLeast, Between, Column, optional, required
from serving_assets.catalog.spec import Domain, MappedTable, Source

OWNERS = ("team:customer-data",)

HOUSEHOLD = required("int64", "Household that holds the loyalty card", AtLeast(1))
PRODUCT = required("int64", "Product", AtLeast(1))
CAMPAIGN = required("int64", "Campaign", AtLeast(1))
COUPON = required("int64", "Code printed on the coupon", AtLeast(1))
STORE = required("int64", "Store", AtLeast(1))
WEEK = required("int64", "Week in the retailer's calendar, Monday to Sunday, of the year 2017", Between(1, 53))


def _money(description: str) -> Column:
    return required("float64", f"{description}, in US dollars", AtLeast(0))


def _count(description: str, at_least: int = 0) -> Column:
    return required("int32", description, AtLeast(at_least))


SPENDING = {
    "spend": _money("What the shop was paid, manufacturers' coupons included"),
    "retail_discount": _money("Taken off by the loyalty card"),
    "coupon_discount": _money("Taken off by manufacturers' coupons"),
    "coupon_match_discount": _money("Added by the shop to manufacturers' coupons"),
    "private_label_spend": _money("Spent on the retailer's own brands"),
    "fuel_spend": _money("Spent on fuel"),
    "grocery_spend": _money("Spent in the grocery department"),
    "drugstore_spend": _money("Spent on drugstore goods and general merchandise"),
    "produce_spend": _money("Spent on fruit and vegetables"),
    "meat_spend": _money("Spent on meat, fresh and packaged"),
    "deli_spend": _money("Spent on ready food: deli, salad bar, chef shoppe"),
}

TRANSACTIONS = Source(
    name="transactions",
    description="Lines of the tills: one row per basket and product",
    owners=OWNERS,
    delivery="daily",
    columns={
        "household_id": HOUSEHOLD,
        "store_id": STORE,
        "basket_id": required("int64", "Basket: one visit to one till", AtLeast(1)),
        "product_id": PRODUCT,
        "quantity": required("int64", "Pieces, or thousandths of a gallon of fuel; 0 on some coupon lines", AtLeast(0)),
        "sales_value": _money("What the shop was paid for the line"),
        "retail_disc": _money("Taken off by the loyalty card"),
        "coupon_disc": _money("Taken off by a manufacturer's coupon"),
        "coupon_match_disc": _money("Added by the shop to a manufacturer's coupon"),
        "week": WEEK,
        "transaction_timestamp": required("timestamp", "When the basket was paid; delivered in UTC without a zone"),
    },
    key=("basket_id", "product_id"),
    event_time="transaction_timestamp",
    may_be_empty=True,  # the shops close on Christmas Day
)

COUPON_REDEMPTIONS = Source(
    name="coupon_redemptions",
    description="Campaign coupons handed in at the tills",
    owners=OWNERS,
    delivery="daily",
    columns={
        "household_id": HOUSEHOLD,
        "coupon_upc": COUPON,
        "campaign_id": CAMPAIGN,
        "redemption_date": required("date", "Local day of the redemption"),
    },
    key=("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    event_time="redemption_date",
    may_be_empty=True,  # on every fourth day none is handed in
)

PRODUCTS = Source(
    name="products",
    description="The product list; a few products that were sold are missing from it",
    owners=OWNERS,
    delivery="snapshot",
    columns={
        "product_id": PRODUCT,
        "manufacturer_id": required("int64", "Manufacturer", AtLeast(1)),
        "department": required("string", "Department, such as GROCERY or DRUG GM"),
        "brand": required("string", "National, or Private for the retailer's own"),
        "product_category": optional("string", "Category within the department"),
        "product_type": optional("string", "Type within the category"),
        "package_size": optional("string", "Size as printed, free text"),
    },
    key=("product_id",),
)

DEMOGRAPHICS = Source(
    name="demographics",
    description="What the customer database knows of a third of the households",
    owners=OWNERS,
    delivery="snapshot",
    columns={
        "household_id": HOUSEHOLD,
        "age": required("string", "Age band, such as 45-54 or 65+"),
        "income": required("string", "Income band, such as 50-74K or 250K+"),
        "home_ownership": optional("string", "Homeowner or Renter, either of them perhaps Probable"),
        "marital_status": optional("string", "Married or Unmarried"),
        "household_size": required("string", "Persons, from 1 to 5+"),
        "household_comp": required("string", "Adults and kids, such as 2 Adults Kids"),
        "kids_count": required("string", "Kids, from 0 to 3+"),
    },
    key=("household_id",),
)

CAMPAIGNS = Source(
    name="campaigns",
    description="Which households a campaign is sent to",
    owners=OWNERS,
    delivery="snapshot",
    columns={"campaign_id": CAMPAIGN, "household_id": HOUSEHOLD},
    key=("campaign_id", "household_id"),
)

CAMPAIGN_DESCRIPTIONS = Source(
    name="campaign_descriptions",
    description="Type and duration of every campaign, also of those that are yet to start",
    owners=OWNERS,
    delivery="snapshot",
    columns={
        "campaign_id": CAMPAIGN,
        "campaign_type": required("string", "Type A, Type B or Type C"),
        "start_date": required("date", "First local day"),
        "end_date": required("date", "Last local day"),
    },
    key=("campaign_id",),
)

COUPONS = Source(
    name="coupons",
    description="Which products a campaign's coupon is good for",
    owners=OWNERS,
    delivery="snapshot",
    columns={"coupon_upc": COUPON, "product_id": PRODUCT, "campaign_id": CAMPAIGN},
    key=("coupon_upc", "product_id", "campaign_id"),
    # 4,872 of the 116,204 lines (4.2 %) repeat another one exactly, up to 19 times.
    rejected_warn=0.07,
    rejected_error=0.1,
)

PROMOTIONS = Source(
    name="promotions",
    description="Where a product stood in the store and the mailer, by week; 20.9 million rows, landed only on request",
    owners=OWNERS,
    delivery="snapshot",
    columns={
        "product_id": PRODUCT,
        "store_id": STORE,
        "display_location": required("string", "Place of the display, 0 for none"),
        "mailer_location": required("string", "Place in the mailer, 0 for none"),
        "week": WEEK,
    },
    key=("product_id", "store_id", "week", "display_location", "mailer_location"),
)

BASKETS = MappedTable(
    name="baskets",
    description="One row per basket: who bought, when, for how much, in which departments",
    owners=OWNERS,
    sql="baskets.sql",
    partitioned="daily",
    key=("basket_id",),
    event_time="purchased_at",
    columns={
        "basket_id": required("int64", "Basket: one visit to one till"),
        "household_id": HOUSEHOLD,
        "store_id": STORE,
        "purchased_at": required("timestamp", "When the basket was paid"),
        "lines": _count("Different products", at_least=1),
        "items": required("int64", "Pieces; fuel counts as none", AtLeast(0)),
        "departments": _count("Different departments; products missing from the product list count as none"),
        **SPENDING,
    },
)

HOUSEHOLD_DAYS = MappedTable(
    name="household_days",
    description="One row per household and day with a purchase: what it bought that day",
    owners=OWNERS,
    sql="household_days.sql",
    partitioned="daily",
    key=("household_id", "day"),
    event_time="last_purchased_at",
    columns={
        "household_id": HOUSEHOLD,
        "last_purchased_at": required("timestamp", "When the day's last basket was paid"),
        "baskets": _count("Baskets", at_least=1),
        "stores": _count("Different stores", at_least=1),
        "morning_baskets": _count("Baskets before noon"),
        "evening_baskets": _count("Baskets from 17:00 on"),
        "lines": _count("Different products, summed over the baskets", at_least=1),
        "items": required("int64", "Pieces; fuel counts as none", AtLeast(0)),
        "departments": _count("Different departments in the widest basket"),
        "largest_basket": _money("Spend of the largest basket"),
        "coupons_redeemed": _count("Campaign coupons redeemed"),
        **SPENDING,
    },
)

HOUSEHOLDS = MappedTable(
    name="households",
    description="One row per household whose demographics are known, as ordered numbers",
    owners=OWNERS,
    sql="households.sql",
    partitioned="none",
    key=("household_id",),
    columns={
        "household_id": HOUSEHOLD,
        "age_years": required("float64", "Middle of the age band, in years", Between(18, 100)),
        "income_thousands": required("float64", "Middle of the income band, in 1,000 US dollars", Between(0, 300)),
        "persons": required("int32", "Persons; 5 means five or more", Between(1, 5)),
        "kids": required("int32", "Kids; 3 means three or more", Between(0, 3)),
        "adults": required("int32", "Adults", Between(1, 2)),
        "is_married": optional("bool", "Whether the card holder is married"),
        "is_homeowner": optional("bool", "Whether the household owns its home, or probably does"),
    },
)

HOUSEHOLD_CAMPAIGNS = MappedTable(
    name="household_campaigns",
    description="One row per household and campaign that it is addressed by",
    owners=OWNERS,
    sql="household_campaigns.sql",
    partitioned="none",
    key=("household_id", "campaign_id"),
    event_time="starts_at",
    columns={
        "household_id": HOUSEHOLD,
        "campaign_id": CAMPAIGN,
        "campaign_type": required("string", "A, B or C"),
        "starts_at": required("timestamp", "Begin of the campaign's first local day"),
        "last_day": required("date", "The campaign's last local day"),
    },
)

DOMAIN = Domain(
    name="complete_journey",
    description="Grocery shopping of 2,469 households in 2017, their campaigns and coupons",
    timezone="America/New_York",
    first_day=date(2017, 1, 1),
    sources=(
        TRANSACTIONS,
        COUPON_REDEMPTIONS,
        PRODUCTS,
        DEMOGRAPHICS,
        CAMPAIGNS,
        CAMPAIGN_DESCRIPTIONS,
        COUPONS,
        PROMOTIONS,
    ),
    tables=(BASKETS, HOUSEHOLD_DAYS, HOUSEHOLDS, HOUSEHOLD_CAMPAIGNS),
)
